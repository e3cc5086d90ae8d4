"""PubTator files: offsets are verified, tags hold what they can, and the rest is counted."""

import re
from collections.abc import Callable

import pytest

from megatron_bio.downstream.readers.pubtator import (
    ACROSS_SENTENCES,
    DOCUMENT_AGAIN,
    INSIDE_A_WORD,
    OVERLAPPING,
    RELATIONS,
    REPEATED,
    read_pubtator,
    read_pubtator_sentences,
)
from megatron_bio.tokens.data_file import DamagedFileError, DataFile

WrittenFile = Callable[..., DataFile]
TITLE = "Lithium-induced tremor in β-thalassemia."
ABSTRACT = "Severe tremors were seen. Lithium was stopped."
TEXT = f"{TITLE} {ABSTRACT}"


def annotation(mention: str, kind: str, *more: str, start: int | None = None) -> str:
    begin = TEXT.index(mention) if start is None else start
    return "\t".join(["77", str(begin), str(begin + len(mention)), mention, kind, *more]) + "\n"


def document(*annotations: str) -> str:
    return f"77|t|{TITLE}\n77|a|{ABSTRACT}\n{''.join(annotations)}\n"


def test_documents_and_sentences(written: WrittenFile) -> None:
    text = document(
        annotation("Lithium", "Chemical", "D008094"),
        annotation("tremor", "Disease", "D014202"),
        annotation("β-thalassemia", "Disease", "D017086", "β|thalassemia"),
        annotation("Lithium", "Chemical", "D008094", start=TEXT.rindex("Lithium")),
        "77\tCID\tD008094\tD014202\n",
    )
    documents, left_out = read_pubtator(written(text))
    assert [entity.identifier for entity in documents[0].entities] == [
        "D008094",
        "D014202",
        "D017086",
        "D008094",
    ]
    assert left_out == {RELATIONS: 1}
    entities = read_pubtator_sentences(written(text))
    assert (entities.documents, entities.offsets_verified, entities.left_out) == (1, 4, {RELATIONS: 1})
    assert [sentence.text for sentence in entities.sentences] == [
        TITLE,
        "Severe tremors were seen.",
        "Lithium was stopped.",
    ]
    first = entities.sentences[0]
    assert first.words == ("Lithium", "-", "induced", "tremor", "in", "β", "-", "thalassemia", ".")
    assert first.tags == (
        "B-Chemical",
        "O",
        "O",
        "B-Disease",
        "O",
        "B-Disease",
        "I-Disease",
        "I-Disease",
        "O",
    )
    assert [TEXT[sentence.place :].startswith(sentence.text) for sentence in entities.sentences] == [True] * 3
    assert [first.mention(span) for span in first.spans()] == ["Lithium", "tremor", "β-thalassemia"]


def test_what_tags_cannot_hold_is_counted(written: WrittenFile) -> None:
    entities = read_pubtator_sentences(
        written(
            document(
                annotation("thalassemia", "Disease"),
                annotation("in β", "Disease"),
                annotation("β-thalassemia", "Disease"),
                annotation("β-thalassemia", "Disease"),
                annotation("tremor", "Disease", start=TEXT.index("tremors")),
                annotation("seen. Lithium", "Chemical"),
            )
        )
    )
    assert entities.offsets_verified == 6
    assert entities.left_out == {OVERLAPPING: 2, REPEATED: 1, INSIDE_A_WORD: 1, ACROSS_SENTENCES: 1}
    assert [sentence.mention(span) for sentence in entities.sentences for span in sentence.spans()] == [
        "β-thalassemia"
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            annotation("Lithium", "Chemical", start=1),
            "the mention 'Lithium' at characters 1 to 8 of document 77, found 'ithium-'",
        ),
        (annotation("Lithium", "Drug"), "an entity type of ['Chemical'], found 'Drug'"),
        ("78\t0\t7\tLithium\tChemical\n", "an annotation of a text before it"),
        ("77\t0\t7\tLithium\n", "PMID, start, end, mention and type"),
        ("77\t0\tx\tLithium\tChemical\n", "PMID, start, end, mention and type"),
        ("77|t|Again\n", "each PMID once"),
        ("nothing\n", "PMID|t|title"),
    ],
)
def test_a_bad_line_is_named(written: WrittenFile, line: str, message: str) -> None:
    with pytest.raises(DamagedFileError, match=r"line 3: expected .*" + re.escape(message)):
        read_pubtator(written(document(line)), types=["Chemical"])


def test_crlf_does_not_move_offsets(written: WrittenFile) -> None:
    text = document(annotation("Lithium", "Chemical", start=TEXT.rindex("Lithium")))
    assert read_pubtator(written(text.replace("\n", "\r\n"))) == read_pubtator(written(text))


def test_a_document_that_is_there_again_counts_once(written: WrittenFile) -> None:
    once = document(annotation("Lithium", "Chemical"))
    found = read_pubtator_sentences(written(once + once))
    assert found.sentences == read_pubtator_sentences(written(once)).sentences
    assert found.left_out == {DOCUMENT_AGAIN: 1, REPEATED: 1}
