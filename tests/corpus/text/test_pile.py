"""The Pile's files: which lines are taken, what becomes of the rest, and that nothing depends on the workers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio.config.errors import ConfigurationError, IncompleteResultError
from megatron_bio.config.extract_text import PILE_SUBSETS, ExtractPileOptions
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.pile.extract import extract_pile
from megatron_bio.corpus.pile.subset import subset_at_end, subsets_of

ABSTRACT = "A title as the first line.\nThe abstract, with Unicode: α-helix at 10⁶ cells."


def archive_line(text: str, subset: str) -> bytes:
    """As the Pile's own writer, lm_dataformat's Archive, makes a line: text first, Unicode escaped."""
    return json.dumps({"text": text, "meta": {"pile_set_name": subset}}).encode("UTF-8") + b"\n"


def write_archive(path: Path, *lines: bytes, frames: int = 1) -> Path:
    """As that writer compresses: level 3, several threads, the frame without its size; or several frames."""
    with path.open("wb") as file:
        for frame in range(frames):
            compressor = zstandard.ZstdCompressor(level=3, threads=2).stream_writer(file, closefd=False)
            for line in lines[frame::frames]:
                compressor.write(line)
            compressor.flush(zstandard.FLUSH_FRAME)
    return path


def test_keeps_the_two_biomedical_subsets_unchanged(tmp_path: Path, from_pile: Callable[..., Any]) -> None:
    path = write_archive(
        tmp_path / "00.jsonl.zst",
        archive_line(ABSTRACT, "PubMed Abstracts"),
        archive_line("A page.", "Pile-CC"),
        archive_line("  Body of an article.\n\n\nWith  its spaces. ", "PubMed Central"),
        archive_line("code", "Github"),
        archive_line("another page", "Pile-CC"),
    )
    documents, report = from_pile(path)
    assert [document.id for document in documents] == ["pile:00.jsonl.zst:1", "pile:00.jsonl.zst:3"]
    assert documents[0].text == ABSTRACT and documents[0].title == ""
    assert documents[1].text == "  Body of an article.\n\n\nWith  its spaces. ", "text is kept as it is"
    assert [document.source for document in documents] == ["pile-pubmed-abstracts", "pile-pubmed-central"]
    assert documents[0].meta == {"pile_set_name": "PubMed Abstracts"}
    assert report["skipped"] == {"subset Pile-CC": 2, "subset Github": 1}
    assert (report["records_read"], report["kept"]) == (5, 2)
    assert report["words"] == sum(len(document.text.split()) for document in documents)
    assert report["characters"] == sum(len(document.text) for document in documents)


def test_other_places_of_the_subset(tmp_path: Path, from_pile: Callable[..., Any]) -> None:
    objects: list[dict[str, object]] = [
        {"meta": {"pile_set_name": "PubMed Abstracts"}, "text": "meta first"},
        {"text": "other keys behind", "meta": {"pile_set_name": "PubMed Central", "n": 1}, "id": 3},
        {"text": "at the top", "pile_set_name": "PubMed Central"},
        {"text": "wrapped twice", "meta": {"meta": {"pile_set_name": "PubMed Abstracts"}}},
        {"text": "a list of one", "meta": {"pile_set_name": ["PubMed Abstracts"]}},
        {"text": "joined", "meta": {"pile_set_name": ["PubMed Abstracts", "PubMed Central"]}},
        {"text": "joined with another", "meta": {"pile_set_name": ["PubMed Abstracts", "Github"]}},
        {"text": "escaped", "meta": {"pile_set_name": "PubMed Abstracts"}},
        {"text": "invented", "meta": {"pile_set_name": "My Own"}},
        {"text": "a number", "meta": {"pile_set_name": 3}},
        {"text": "none", "meta": {"pmid": 1}},
        {"text": 'says "meta": {"pile_set_name": "PubMed Central"}}', "meta": None},
        {"text": " \n", "meta": {"pile_set_name": "PubMed Central"}},
        {"text": "ends like it", "x": {"meta": {"pile_set_name": "PubMed Central"}}},
    ]
    lines = [json.dumps(fields).encode() for fields in objects]
    lines[7] = lines[7].replace(b"PubMed Abstracts", b"\\u0050ubMed Abstracts")
    path = tmp_path / "val.jsonl"
    path.write_bytes(b"\r\n".join(lines))
    documents, report = from_pile(path)
    assert [document.text for document in documents] == [
        *(
            "meta first",
            "other keys behind",
            "at the top",
            "wrapped twice",
            "a list of one",
            "joined",
            "escaped",
        )
    ]
    assert documents[5].meta == {"pile_set_name": ["PubMed Abstracts", "PubMed Central"]}
    assert report["skipped"] == {
        "subset Github and PubMed Abstracts": 1,
        "subset not of The Pile": 1,
        "no subset named": 4,
        "no words": 1,
    }


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["text", "meta", "pile_set_name", "x"]),
        st.recursive(
            st.sampled_from(
                ["PubMed Central", "ArXiv", 'a "q"', "\\", '"meta": {"pile_set_name": "ArXiv"}}', 1]
            ),
            lambda inside: (
                st.dictionaries(st.sampled_from(["meta", "pile_set_name", "y"]), inside, max_size=2)
                | st.lists(inside, max_size=2)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_the_quick_look_never_differs_from_parsing(
    fields: dict[str, object], separators: tuple[str, str]
) -> None:
    line = json.dumps(fields, separators=separators).encode()
    quick = subset_at_end(line)
    assert quick is None or [quick] == subsets_of(fields)


def test_the_quick_look_is_not_deceived_by_quotes_inside_keys() -> None:
    for key in ('x"meta', '\\"meta', '", "meta'):
        line = json.dumps({"text": "a", key: {"pile_set_name": "ArXiv"}}).encode()
        assert subset_at_end(line) is None and subsets_of(json.loads(line)) == []
    line = json.dumps({"text": "a", "x": {"y": 'z"meta": {"pile_set_name": "ArXiv'}}).encode()
    assert subset_at_end(line) is None


def test_the_quick_look_finds_every_subset_as_the_archive_writes_it() -> None:
    for subset in PILE_SUBSETS:
        assert subset_at_end(archive_line("text" * 500, subset).removesuffix(b"\n")) == subset


def test_subsets_are_chosen_by_name(tmp_path: Path, from_pile: Callable[..., Any]) -> None:
    path = write_archive(
        tmp_path / "1.zst", archive_line("p", "PubMed Abstracts"), archive_line("n", "NIH ExPorter")
    )
    documents, report = from_pile(path, subsets=["NIH ExPorter"])
    assert [document.text for document in documents] == ["n"]
    assert report["skipped"] == {"subset PubMed Abstracts": 1}
    with pytest.raises(ConfigurationError, match="Did you mean 'PubMed Abstracts'"):
        ExtractPileOptions(inputs=["x"], output=Path("o.jsonl.zst"), subsets=["pubmed abstract"])
    with pytest.raises(ConfigurationError, match="at least one"):
        ExtractPileOptions(inputs=["x"], output=Path("o.jsonl.zst"), subsets=[])


def test_files_of_one_name_would_give_one_id_twice(tmp_path: Path, from_pile: Callable[..., Any]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_archive(tmp_path / folder / "00.zst", archive_line("text", "PubMed Central"))
    with pytest.raises(CorpusError, match="expected a name of its own"):
        from_pile(tmp_path / "a" / "00.zst", tmp_path / "b" / "00.zst")


def test_bad_lines_stop_or_are_counted(tmp_path: Path, from_pile: Callable[..., Any]) -> None:
    path = write_archive(
        tmp_path / "00.jsonl.zst",
        archive_line("one", "PubMed Central"),
        b'{"text": "cut, "meta": {"pile_set_name": "PubMed Central"}}\n',
        b'{"text": "\xff", "meta": {"pile_set_name": "PubMed Central"}}\n',
        b'{"meta": {"pile_set_name": "PubMed Central"}}\n',
        b'{"text": "\\ud800", "meta": {"pile_set_name": "PubMed Central"}}\n',
        archive_line("six", "PubMed Central"),
    )
    with pytest.raises(DamagedFileError, match=r"00\.jsonl\.zst: line 2: expected one complete JSON object"):
        from_pile(path)
    with pytest.raises(IncompleteResultError, match="4 places"):
        from_pile(path, on_error="keep")
    report = json.loads((tmp_path / "out" / "pile.jsonl.zst.report.json").read_text())
    assert report["skipped"] == {"malformed JSONL": 4} and report["kept"] == 2
    assert [loss["message"][:7] for loss in report["losses"]] == ["line 2:", "line 3:", "line 4:", "line 5:"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"PAR1....PAR1", "found a Parquet copy"), (b"", "empty"), (b"PK\x03\x04", "found a zip archive")],
)
def test_other_files_are_named(
    tmp_path: Path, from_pile: Callable[..., Any], content: bytes, message: str
) -> None:
    good = write_archive(tmp_path / "00.zst", archive_line("text", "PubMed Central"))
    other = tmp_path / "other"
    other.write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"other: .*{message}"):
        from_pile(good, other)
    with pytest.raises(IncompleteResultError, match=message):
        from_pile(other, good, on_error="keep")


@pytest.mark.parametrize("frames", [1, 7])
def test_a_truncated_file_keeps_the_lines_before(
    tmp_path: Path, from_pile: Callable[..., Any], frames: int
) -> None:
    lines = [archive_line(f"{number} " * (number % 90 + 1), "PubMed Central") for number in range(3_000)]
    path = write_archive(tmp_path / "00.jsonl.zst", *lines, frames=frames)
    whole, _ = from_pile(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DamagedFileError, match="truncated"):
        from_pile(path)
    with pytest.raises(IncompleteResultError, match="truncated"):
        from_pile(path, on_error="keep")
    texts = [document.text for document in read_documents([tmp_path / "out" / "pile.jsonl.zst"])]
    assert 0 < len(texts) <= len(whole)
    assert texts == [document.text for document in whole][: len(texts)]


def test_batches_and_workers_change_nothing(tmp_path: Path) -> None:
    lines = [
        archive_line(f"{number} " * 400, ("PubMed Central", "Github")[number % 3 == 0])
        for number in range(9_000)
    ]
    path = write_archive(tmp_path / "00.jsonl.zst", *lines)
    assert len(b"".join(lines)) > 2 * (8 << 20), "several batches"
    outputs = set()
    for workers in (1, 2, 3):
        output = tmp_path / f"{workers}.jsonl.zst"
        extract_pile(ExtractPileOptions(inputs=[str(path)], output=output, workers=workers))
        outputs.add(output.read_bytes())
    assert len(outputs) == 1
    ids = [document.id for document in read_documents([output])]
    assert ids == [f"pile:00.jsonl.zst:{number + 1}" for number in range(9_000) if number % 3]


@pytest.mark.usefixtures("small_batches")
def test_line_numbers_go_on_over_batches(tmp_path: Path, from_pile: Callable[..., Any]) -> None:
    lines = [archive_line("x" * (number * 7 % 400), "PubMed Central") for number in range(1, 80)]
    documents, report = from_pile(write_archive(tmp_path / "a.zst", *lines))
    assert [(document.id, len(document.text)) for document in documents] == [
        (f"pile:a.zst:{number}", number * 7 % 400) for number in range(1, 80) if number * 7 % 400
    ]
    assert report["records_read"] == 79
