"""Whatever happens to a file, it is read whole or refused with its name, a place and a remedy."""

import gzip
import json
import lzma
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megatron_bio.downstream.data_check.kinds import kind_of
from megatron_bio.downstream.data_check.summaries import SUMMARIES
from megatron_bio.tokens.data_file import DamagedFileError, DataFile

WrittenFile = Callable[..., DataFile]
IOB = "Lithium\tB-Drug\ncaused\tO\ntremor\tB-Sign\n\n"
SAMPLES = {
    "IOB": IOB,
    "PubTator": "77|t|Lithium.\n77|a|Tremor was seen.\n77\t0\t7\tLithium\tChemical\tD1\n\n",
    "relation table": "The @GENE$ and @DISEASE$.\t1\nNo @GENE$ in @DISEASE$.\t0\n",
    "SQuAD": json.dumps(
        {
            "data": [
                {
                    "paragraphs": [
                        {
                            "context": "Of lithium.",
                            "qas": [
                                {
                                    "id": "a",
                                    "question": "?",
                                    "answers": [{"text": "lithium", "answer_start": 3}],
                                }
                            ],
                        }
                    ]
                }
            ]
        }
    ),
    "BioASQ": json.dumps(
        {"questions": [{"id": "a", "type": "yesno", "body": "?", "exact_answer": "yes", "snippets": []}]}
    ),
    "PubMedQA": json.dumps(
        {"77": {"QUESTION": "?", "CONTEXTS": ["x"], "LABELS": ["A"], "final_decision": "no"}}
    ),
    "PubMedQA decisions": json.dumps({"77": "yes"}),
    "MedQA": json.dumps({"question": "?", "options": {"A": "x", "B": "y"}, "answer_idx": "A"}) + "\n",
    "MedMCQA": json.dumps({"question": "?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 0}) + "\n",
}
COMPRESS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.compress}


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_form_is_recognised_and_read(written: WrittenFile, kind: str) -> None:
    file = written(SAMPLES[kind])
    assert kind_of(file) == kind
    assert SUMMARIES[kind](file).counts  # type: ignore[index]


def test_all_forms_have_a_sample() -> None:
    assert set(SAMPLES) == set(SUMMARIES)


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_and_with_a_byte_order_mark(written: WrittenFile, kind: str, ending: str) -> None:
    plain = SUMMARIES[kind](written(SAMPLES[kind]))  # type: ignore[index]
    for text in (SAMPLES[kind], "\ufeff" + SAMPLES[kind], SAMPLES[kind].replace("\n", "\r\n")):
        file = written(COMPRESS[ending](text.encode()), f"a.tsv.{ending}")
        assert kind_of(file) == kind
        assert SUMMARIES[kind](file) == plain  # type: ignore[index]


@pytest.mark.parametrize("ending", COMPRESS)
def test_truncated_compression(written: WrittenFile, ending: str) -> None:
    content = COMPRESS[ending]((IOB * 50).encode())
    with pytest.raises(DamagedFileError, match=rf"a\.tsv\.{ending}: .*[Dd]ownload it again"):
        written(content[: len(content) // 2], f"a.tsv.{ending}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the items of a benchmark, found no content"),
        (b"\n \n", "found no content"),
        (IOB.encode("utf-16"), "byte 1: expected UTF-8, found the mark of UTF-16. Convert the file to UTF-8"),
        (
            "Grün\tO\n".encode("latin-1"),
            "line 1: expected UTF-8, found the byte 0xfc. Convert the file to UTF-8",
        ),
        (b"word\tO\nwo\x00rd\tO\n", "line 2: expected text, found a zero byte"),
    ],
)
def test_wrong_content(written: WrittenFile, content: bytes, message: str) -> None:
    with pytest.raises(DamagedFileError, match=r"train\.tsv: ") as raised:
        written(content)
    assert message in str(raised.value)


@pytest.mark.parametrize("kind", ["SQuAD", "BioASQ", "PubMedQA"])
def test_broken_json_names_line_and_column(written: WrittenFile, kind: str) -> None:
    text = json.dumps(json.loads(SAMPLES[kind]), indent=1)
    with pytest.raises(DamagedFileError, match=r"line \d+, column \d+: expected valid JSON, found: "):
        kind_of(written(text[:-3]))


def test_a_broken_line_of_json_lines(written: WrittenFile) -> None:
    with pytest.raises(DamagedFileError, match="line 2, column 1: expected valid JSON"):
        SUMMARIES["MedQA"](written(SAMPLES["MedQA"] + "}\n"))


@pytest.mark.parametrize("kind", SAMPLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_is_read_or_refused(written: WrittenFile, kind: str, data: st.DataObject) -> None:
    content = bytearray(SAMPLES[kind].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] = data.draw(st.sampled_from(b'\t\n "{}[]|:0-B\x00\xff'))
        else:
            del content[place : place + data.draw(st.integers(1, 9))]
        if not content:
            return
    try:
        SUMMARIES[kind](written(bytes(content)))  # type: ignore[index]
        kind_of(written(bytes(content)))
    except DamagedFileError as error:
        assert str(error).startswith(str(error.path))
        assert "expected" in error.message
