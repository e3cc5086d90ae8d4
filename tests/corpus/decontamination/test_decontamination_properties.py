"""What must hold for any text and any bytes."""

import gzip
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio.corpus.decontamination.index import ContaminationIndex
from megatron_bio.corpus.decontamination.read import read_benchmark
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import CorpusError

SAMPLES = [
    b"# set\n12\n13\nPMID: 14\n",
    b"7\tA title of eight words or more than that\tText\n8\tx\ty\n",
    b"101|t|Lithium and tremor\n101|a|Tremor is common.\n101\t0\t7\tLithium\tChemical\tD1\n\n",
    b"Lithium\tB-Chemical\n-\tO\n\nTremor\tO\n",
    b"-DOCSTART- -X- O\n\nLithium NN B-Chemical\n\nNone NN O\n",
    b"<?xml version='1.0'?><collection><document><id>3</id><passage><text>A &amp; b</text></passage></document></collection>",
    b'{"questions": [{"id": "5", "body": "Why?", "documents": ["http://x/pubmed/4"], "snippets": [{"text": "It"}]}]}',
    b'{"data": [{"paragraphs": [{"context": "A", "qas": [{"question": "Why?"}]}]}]}',
    b'{"501": {"QUESTION": "Q", "CONTEXTS": ["a"], "LONG_ANSWER": "b"}, "502": "yes"}',
    b'{"question": "Q", "options": {"A": "x"}, "id": 1}\n{"question": "R", "opa": "x", "pmid": 9}\n',
    b'[{"tokens": ["a", "b"]}, {"meta": {"pmid": "3"}, "text": null}]',
    b'{"documents": [{"id": 3, "passages": [{"text": "A"}]}]}',
]
LETTERS = "αβcdefghijklmnopqrstuvwxyz"
# Words of which none is a formula, alone or joined with a neighbour.
WORD = st.text(LETTERS, min_size=4, max_size=9).map(lambda word: "q" + word)


def read_bytes(content: bytes) -> None:
    """Reads a file of these bytes; anything but a CorpusError gets out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark"
        path.write_bytes(content)
        try:
            read_benchmark(path)
            ContaminationIndex.from_files([path]).match(Document(id="a", text="some text"))
        except CorpusError as error:
            assert str(error).encode(), "the message must be printable"


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=100)
def test_random_bytes(content: bytes) -> None:
    read_bytes(content)


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=100)
def test_random_text(content: str) -> None:
    read_bytes(content.encode())


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_mutated_samples(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        removed = data.draw(st.integers(0, 12))
        content[at : at + removed] = data.draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([b"{", b"[", b'"', b"\n", b"\t", b"null", b"1", b"\\ud800"]),
            )
        )
    read_bytes(bytes(content))
    read_bytes(gzip.compress(bytes(content)))


KEYS = (
    "questions body documents snippets text data paragraphs qas context question 5 QUESTION CONTEXTS LONG_ANSWER options "
    "id pmid meta tokens passages articles"
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES, st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_json(value: object, lines: bool) -> None:
    text = json.dumps(value)
    read_bytes(f"{text}\n{text}\n".encode() if lines else text.encode())


def index_of(folder: str, text: str) -> ContaminationIndex:
    path = Path(folder) / "benchmark.jsonl"
    path.write_text(json.dumps({"text": text}) + "\n" + json.dumps({"pmid": 1}) + "\n", encoding="utf-8")
    return ContaminationIndex.from_files([path])


@given(
    item=st.lists(WORD, min_size=8, max_size=60),
    before=st.lists(WORD, max_size=60),
    after=st.lists(WORD, max_size=60),
    separator=st.sampled_from([" ", "  ", ", ", "\n", " - ", ") ("]),
    data=st.data(),
)
@settings(deadline=None, max_examples=100)
def test_planted_run_is_found_wherever_it_stands(
    item: list[str], before: list[str], after: list[str], separator: str, data: st.DataObject
) -> None:
    # A Greek letter is a word by itself, so 13 words as written are 13 or more.
    # Of an item of fewer words all are planted.
    start = data.draw(st.integers(0, max(0, len(item) - 13)))
    planted = [*before, *item[start : start + 13], *after]
    cut = data.draw(st.integers(0, len(planted)))
    with tempfile.TemporaryDirectory() as folder:
        index = index_of(folder, " ".join(item))
    text = separator.join(planted[cut:])
    found = index.match(
        Document(id="a", title=separator.join(planted[:cut]), text=text.upper() if start % 2 else text)
    )
    assert found is not None and found.item == "line 1"


LATIN_WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=9)


@given(
    item=st.lists(LATIN_WORD.map(lambda word: "q" + word), min_size=13, max_size=60),
    others=st.lists(LATIN_WORD.map(lambda word: "z" + word), min_size=2, max_size=60),
    data=st.data(),
)
@settings(deadline=None, max_examples=100)
def test_twelve_words_in_a_row_never_match(item: list[str], others: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = index_of(folder, " ".join(item))
    words: list[str] = []
    for other in others:
        start = data.draw(st.integers(0, len(item) - 12))
        words += [*item[start : start + 12], other]
    assert index.match(Document(id="a", title=" ".join(words[:20]), text=" ".join(words[20:]))) is None
