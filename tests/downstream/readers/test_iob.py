"""IOB files of each scheme give the entities that they mean."""

import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_bio.downstream.readers.entity_forms import spans_of
from megatron_bio.downstream.readers.iob import read_iob
from megatron_bio.downstream.readers.tag_schemes import as_iob2, parsed_tag, scheme_of
from megatron_bio.tokens.data_file import DamagedFileError, DataFile

WrittenFile = Callable[..., DataFile]
WORDS = ("Lithium", "carbonate", "tremor", "and", "ataxia", "fade")


def lines(*tags: str, separator: str = "\t") -> str:
    return "".join(f"{word}{separator}{tag}\n" for word, tag in zip(WORDS, tags, strict=True)) + "\n"


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (("B-Drug", "I-Drug", "B-Sign", "O", "B-Sign", "O"), "IOB2"),
        (("I-Drug", "I-Drug", "I-Sign", "O", "I-Sign", "O"), "IOB1"),
        (("B-Drug", "E-Drug", "S-Sign", "O", "S-Sign", "O"), "IOBES"),
        (("B-Drug", "L-Drug", "U-Sign", "O", "U-Sign", "O"), "IOBES"),
        (("B-Drug", "E-Drug", "W-Sign", "O", "W-Sign", "O"), "IOBES"),
    ],
)
@pytest.mark.parametrize("separator", ["\t", " ", "   ", " NN B-NP "])
def test_every_scheme_means_the_same(
    written: WrittenFile, tags: tuple[str, ...], scheme: str, separator: str
) -> None:
    entities = read_iob(written(lines(*tags, separator=separator)))
    (sentence,) = entities.sentences
    assert scheme_of([[parsed_tag(tag) or ("", "") for tag in tags]]) == scheme
    assert sentence.words == WORDS
    assert sentence.tags == ("B-Drug", "I-Drug", "B-Sign", "O", "B-Sign", "O")
    assert [sentence.mention(span) for span in sentence.spans()] == ["Lithium carbonate", "tremor", "ataxia"]
    assert entities.entities_by_type() == {"Drug": 1, "Sign": 2}
    assert not entities.repaired


def test_iob1_begins_with_b_only_behind_an_entity_of_the_type(written: WrittenFile) -> None:
    entities = read_iob(written(lines("I-Drug", "I-Drug", "B-Drug", "O", "I-Sign", "O")))
    assert entities.sentences[0].tags == ("B-Drug", "I-Drug", "B-Drug", "O", "B-Sign", "O")


def test_an_inside_without_a_beginning_is_counted(written: WrittenFile) -> None:
    entities = read_iob(written(lines("B-Drug", "I-Drug", "O", "O", "I-Sign", "O")))
    assert entities.sentences[0].tags[4] == "B-Sign"
    assert entities.repaired == {"I without a beginning before it, taken for B": 1}


def test_nothing_goes_on_behind_an_end(written: WrittenFile) -> None:
    entities = read_iob(written(lines("B-Drug", "E-Drug", "I-Drug", "S-Sign", "E-Sign", "O")))
    assert entities.sentences[0].tags == ("B-Drug", "I-Drug", "B-Drug", "B-Sign", "B-Sign", "O")
    assert entities.repaired.total() == 2


def test_documents_blank_lines_and_tags_without_a_type(written: WrittenFile) -> None:
    text = "-DOCSTART- -X- O O\n\nOne B\nmore I\n\n\n \nTwo O\n\n-DOCSTART- O\nThree O\n"
    entities = read_iob(written(text))
    assert [(sentence.words, sentence.document, sentence.place) for sentence in entities.sentences] == [
        (("One", "more"), "1", 3),
        (("Two",), "1", 8),
        (("Three",), "2", 11),
    ]
    assert entities.sentences[0].tags == ("B-entity", "I-entity")
    assert (entities.documents, entities.lines) == (2, 11)


def test_offsets_give_the_words(written: WrittenFile) -> None:
    (sentence,) = read_iob(written("β-Carotene\tO\n𝛼\tO\n10⁶\tB-X\n")).sentences
    assert [sentence.text[start:end] for start, end in sentence.offsets] == list(sentence.words)


@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text])
def test_line_ends_and_a_byte_order_mark_change_nothing(
    written: WrittenFile, change: Callable[[str], str]
) -> None:
    text = lines("B-Drug", "I-Drug", "O", "O", "B-Sign", "O")
    assert read_iob(written(change(text))) == read_iob(written(text))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("alone", "'alone'"),
        ("word\tX-Drug", "X-Drug"),
        ("word\tB-", "B-"),
        ("\tO", "O"),
        ("word\tB-Gene", "an entity type of ['Drug'], found 'Gene'"),
        ("O", "'O'"),
    ],
)
def test_a_bad_line_is_named(written: WrittenFile, line: str, found: str) -> None:
    with pytest.raises(DamagedFileError, match=r"train\.tsv: line 3: expected .*" + re.escape(found)):
        read_iob(written(f"Lithium\tB-Drug\nx\tO\n{line}\n"), types=["Drug"])


def test_a_file_without_sentences(written: WrittenFile) -> None:
    with pytest.raises(DamagedFileError, match="expected sentences of words with tags"):
        read_iob(written("-DOCSTART- O\n\n"))


SPANS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "A", "B"]), st.integers(1, 3)), max_size=8)


@given(SPANS)
def test_iobes_and_iob2_of_random_spans(gaps_types_lengths: list[tuple[int, str, int]]) -> None:
    iob2: list[str] = []
    iobes: list[str] = []
    for gap, kind, length in gaps_types_lengths:
        iob2 += ["O"] * gap
        iobes += ["O"] * gap
        if kind:
            iob2 += [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
            marks = "S" if length == 1 else f"B{'I' * (length - 2)}E"
            iobes += [f"{mark}-{kind}" for mark in marks]
    for tags in (iob2, iobes):
        parsed = [parsed_tag(tag) or ("", "") for tag in tags]
        repaired: Counter[str] = Counter()
        assert list(as_iob2(parsed, "IOB2" if tags is iob2 else "IOBES", repaired)) == iob2
        assert not repaired
    expected = [(kind, length) for _, kind, length in gaps_types_lengths if kind]
    assert [(span.type, span.last - span.first + 1) for span in spans_of(tuple(iob2))] == expected
