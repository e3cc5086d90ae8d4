"""Which documents are found by an index and which are not."""

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.corpus.decontamination.index import ContaminationIndex, Match
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import CorpusError, DamagedFileError

SENTENCE = "Lithium carbonate at 10⁶ units caused severe tremor, ataxia and confusion in the older kidney recipients of Zürich."
SHORT = "Does metformin delay growth of the hepatic adenoma?"
ITEMS = [
    {"text": SENTENCE},
    {"pmid": 77},
    {"question": SHORT, "options": ["A liver with many small and hard nodules inside", "No"]},
]
MadeIndex = Callable[..., ContaminationIndex]


@pytest.fixture
def index_of(tmp_path: Path) -> MadeIndex:
    def make(*items: dict[str, object], ngram: int = 13) -> ContaminationIndex:
        path = tmp_path / "set" / "test.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
        return ContaminationIndex.from_files([path], ngram)

    return make


def text_of(*parts: str) -> Document:
    return Document(id="a", text=" ".join(parts))


def test_by_pmid(index_of: MadeIndex) -> None:
    index = index_of(*ITEMS)
    expected = Match(reason="PMID of a benchmark", benchmark="set/test.jsonl", item="line 2")
    assert index.match(Document(id="pubmed:77", text="x")) == expected
    assert index.match(Document(id="pmc:PMC1", text="x", meta={"pmid": 77})) == expected
    for form in ("77", "77.0", 77.0, "PMID:77"):
        assert index.match(Document(id="a", text="x", meta={"pmid": form})) == expected
    assert index.match(Document(id="pubmed:78", text="x")) is None
    assert index.match(Document(id="pubmed:77", text="x", meta={"pmid": 78})) is None, "meta says what it is"
    assert index.match(Document(id="pile:77", text="77")) is None


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE,
        SENTENCE.upper(),
        "Before. " + SENTENCE + " After.",
        "Lithium carbonate at 10 ( 6 ) units caused severe tremor , ataxia and confusion in the older",
        "lithium carbonate at 10^6 units caused severe tremor;\nataxia and confusion in the older",
        "Lithium carbonate at 106 units caused severe tremor, ataxia and confusion in the older",
        "caused severe tremor, ataxia and confusion in the older kidney recipients of Zurich",
    ],
)
def test_by_text(index_of: MadeIndex, text: str) -> None:
    index = index_of(*ITEMS)
    expected = Match(reason="text of a benchmark", benchmark="set/test.jsonl", item="line 1")
    assert index.match(text_of(text)) == expected
    assert index.match(Document(id="a", title=text, text="Other words.")) == expected, "the title counts"


def test_title_and_text_are_read_on(index_of: MadeIndex) -> None:
    words = SENTENCE.split()
    assert index_of(*ITEMS).match(Document(id="a", title=" ".join(words[:7]), text=" ".join(words[7:])))


def test_a_changed_word_leaves_too_little(index_of: MadeIndex) -> None:
    words = SENTENCE.split()
    words[9] = "cramps"
    assert index_of(*ITEMS).match(text_of(*words)) is None, "10 and 8 words on its sides, of 13 needed"
    assert index_of(*ITEMS, ngram=8).match(text_of(*words)) is not None


def test_order_of_words_counts(index_of: MadeIndex) -> None:
    index = index_of(*ITEMS)
    words = SENTENCE.split()
    assert index.match(text_of(*reversed(words))) is None
    assert index.match(text_of(*words[1:], words[0])) is not None, "16 of 17 are still in order"
    swapped = [
        word for first, second in zip(words[::2], words[1::2], strict=False) for word in (second, first)
    ]
    assert index.match(text_of(*swapped)) is None


def test_short_items_count_entire_only(index_of: MadeIndex) -> None:
    index = index_of(*ITEMS)
    found = index.match(text_of("We asked:", SHORT.lower(), "It does."))
    assert found is not None and found.item == "line 3"
    assert index.match(text_of(SHORT.replace("growth", "rise"))) is None
    assert index.match(text_of("A liver with many small and hard nodules inside")) is None, (
        "an option says nothing alone"
    )


@pytest.mark.parametrize(
    "phrase",
    [
        "The aim of this study was to evaluate the efficacy and safety of treatment with placebo.",
        "CYP2C6, 2C9, 2C19, 2D6 and 2E1 (95% CI 0.4 to 0.9, P < 0.001)",
        "5-(1,1-dimethyl-3-(3-fluorophenyl)-4-(4-methylsulphonyl)phenyl)-2-(5H)",
        "Patients were randomly assigned to receive 10 mg or placebo once daily for 12 weeks.",
    ],
)
def test_phrases_that_say_nothing(index_of: MadeIndex, phrase: str) -> None:
    index = index_of({"text": f"{phrase} {SENTENCE}"})
    assert index.match(text_of(phrase)) is None
    assert index.match(text_of(SENTENCE)) is not None


def test_first_in_the_text_and_first_in_the_files(index_of: MadeIndex) -> None:
    other = "Adenoma of the pituitary gland grew slowly in most rabbits fed with cabbage and carrots."
    index = index_of({"text": other}, {"text": SENTENCE}, {"text": other})
    for text, line in ((f"{SENTENCE} {other}", "line 2"), (f"{other} {SENTENCE}", "line 1")):
        found = index.match(text_of(text))
        assert found is not None and found.item == line


def test_summary(index_of: MadeIndex, tmp_path: Path) -> None:
    summary = index_of(*ITEMS, {"text": "Too short."}, {"pmid": 77}).summary()
    content = (tmp_path / "set" / "test.jsonl").read_bytes()
    assert summary == [
        {
            "name": "set/test.jsonl",
            "format": "JSON records",
            "sha256": hashlib.sha256(content).hexdigest(),
            "items": 5,
            "pmids": 1,
            "items_not_findable": 1,
        }
    ]


def test_fingerprint(tmp_path: Path, index_of: MadeIndex) -> None:
    first = index_of(*ITEMS)
    assert first.fingerprint == index_of(*ITEMS).fingerprint
    assert first.fingerprint != index_of(*ITEMS, ngram=12).fingerprint
    assert first.fingerprint != index_of(*ITEMS[1:]).fingerprint
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text("12\n")
    assert (
        ContaminationIndex.from_files(paths).fingerprint
        != ContaminationIndex.from_files(paths[:1]).fingerprint
    )
    moved = tmp_path / "elsewhere" / tmp_path.name / "a.txt"
    moved.parent.mkdir(parents=True)
    moved.write_text("12\n")
    assert (
        ContaminationIndex.from_files([moved]).fingerprint
        == ContaminationIndex.from_files(paths[:1]).fingerprint
    )


def test_what_cannot_be_found_is_refused(index_of: MadeIndex) -> None:
    with pytest.raises(CorpusError, match=r"set/test\.jsonl: expected items with a PMID"):
        index_of({"text": "Too short."}, {"text": "So is this one."})
    with pytest.raises(CorpusError, match="runs of 4 words or more"):
        index_of(*ITEMS, ngram=3)


def test_one_damaged_file_stops(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("12\n")
    bad.write_text("")
    with pytest.raises(DamagedFileError, match=r"bad\.txt"):
        ContaminationIndex.from_files([good, bad])


def test_names_from_files_are_printable(index_of: MadeIndex) -> None:
    found = index_of({"id": "\ud800" + "x" * 500, "text": SENTENCE}).match(text_of(SENTENCE))
    assert found is not None and found.item == "\\ud800" + "x" * 99


def test_the_same_in_every_process(index_of: MadeIndex, tmp_path: Path) -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(3_000)]
    items = [{"text": " ".join(draw.choices(words, k=30))} for _ in range(200)]
    index = index_of(*items)
    documents = [text_of(*draw.choices(words, k=50), str(item["text"])) for item in items]
    (tmp_path / "index").write_bytes(pickle.dumps((index, documents)))
    program = (
        "import pickle, sys; index, documents = pickle.load(open(sys.argv[1], 'rb')); "
        "from megatron_bio.corpus.decontamination.index import ContaminationIndex; from pathlib import Path; "
        "new = ContaminationIndex.from_files([Path(sys.argv[2])]); "
        "print([(a.match(d).item) for d in documents for a in (index, new)], new.fingerprint)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "index"), str(tmp_path / "set" / "test.jsonl")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    outputs = [
        subprocess.run(
            command, env=environment | {"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    ]
    expected = [f"line {line}" for line in range(1, 201) for _ in range(2)]
    assert outputs == [f"{expected} {index.fingerprint}\n"] * 2
