"""Which copies are dropped, in favour of which document, and for which reason."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from megatron_bio.corpus.document import Document
from tests.corpus.building.conftest import Corpus, Prose

Build = Callable[..., Corpus]
RECORD = "same record as an earlier document"
EXACT, NEAR, INSIDE, COPIED = (
    "exact duplicate",
    "near duplicate",
    "abstract inside an article",
    "copied sentences",
)


def document(name: str, text: str, **fields: Any) -> Document:
    return Document(id=name, text=text, **fields)


def abstract(pmid: int, text: str, **meta: Any) -> Document:
    return document(f"pubmed:{pmid}", text, source="pubmed", meta={"pmid": pmid, **meta})


def article(pmcid: int, text: str, body: str, **meta: Any) -> Document:
    return document(
        f"pmc:PMC{pmcid}",
        f"{text}\n{body}",
        source="pmc",
        meta={"pmcid": f"PMC{pmcid}", "abstract_lines": 1, **meta},
    )


def edited(text: str, words: int, seed: int = 1) -> str:
    """The text with some words replaced."""
    chooser = random.Random(seed)
    parts = text.split()
    for index in chooser.sample(range(len(parts)), words):
        parts[index] = "replaced"
    return " ".join(parts)


def test_exact_copies_differ_in_case_punctuation_and_space_only(build: Build, prose: Prose) -> None:
    text = prose.text()
    text = f"{text} In 1,000 rats, 2,3-diol ﬁts Straße, naïve, well-fed."
    loud = re.sub(r"[.]", " ;", text).upper().replace(" ", "  ")
    without_commas = text.upper().replace(",", "")
    corpus = build(
        document("a", text),
        document("b", loud),
        document("c", prose.text()),
        document("d", text),
        document("e", without_commas),
    )
    assert corpus.copies() == {"b": (EXACT, "a"), "d": (EXACT, "a"), "e": (EXACT, "a")}
    assert corpus.ids() == {"a", "c"}


def test_of_one_record_the_first_is_kept(build: Build, prose: Prose) -> None:
    first, second = abstract(1, prose.text()), abstract(1, prose.text())
    corpus = build(first, second, document("x:1", prose.text()), document("x:1", prose.text()))
    assert [line["reason"] for line in corpus.lines("copies.jsonl.zst")] == [RECORD]
    assert corpus.manifest["kept"]["documents"] == 3, "ids of others need not be unique"
    assert first.text in {document.text for document in corpus.documents()}


@pytest.mark.parametrize("abstract_first", [True, False])
@pytest.mark.parametrize("link", ["pmid", "pmcid", "text"])
def test_an_abstract_leaves_for_its_article_in_any_order(
    build: Build, prose: Prose, abstract_first: bool, link: str
) -> None:
    text, other = prose.text(), prose.text()
    cases = {
        "pmid": (abstract(1, other), article(5, text, prose.text(), pmid=1)),
        "pmcid": (abstract(1, other, pmcid="PMC5"), article(5, text, prose.text())),
        "text": (document("pile:f:1", text.upper()), article(5, text, prose.text())),
    }
    pair = cases[link] if abstract_first else cases[link][::-1]
    corpus = build(*pair, abstract(2, prose.text()))
    assert corpus.copies() == {cases[link][0].id: (INSIDE, "pmc:PMC5")}


def test_an_abstract_stays_when_its_article_has_none_or_is_not_kept(build: Build, prose: Prose) -> None:
    without = article(5, prose.text(), prose.text(), pmid=1)
    without = replace(without, meta={**without.meta, "abstract_lines": 0})
    retracted = article(6, prose.text(), prose.text(), pmid=2, retracted=True)
    corpus = build(abstract(1, prose.text()), without, abstract(2, prose.text()), retracted)
    assert corpus.ids() == {"pubmed:1", "pubmed:2", "pmc:PMC5"}


def test_an_abstract_inside_an_article_makes_no_near_duplicates(build: Build, prose: Prose) -> None:
    """Else it would leave for the other one, or the other one for it, though it is not kept itself."""
    text = prose.text()
    corpus = build(
        document("b", f"{text} Longer."), abstract(1, text), article(5, prose.text(), prose.text(30), pmid=1)
    )
    assert corpus.copies() == {"pubmed:1": (INSIDE, "pmc:PMC5")}


def test_an_abstract_leaves_for_the_copy_of_its_article(build: Build, prose: Prose) -> None:
    text, body = prose.text(), prose.text(30)
    first, second = article(5, text, body), article(6, text, body, pmid=1)
    corpus = build(abstract(1, prose.text()), first, second)
    assert corpus.copies() == {"pmc:PMC6": (EXACT, "pmc:PMC5"), "pubmed:1": (INSIDE, "pmc:PMC5")}


def test_an_abstract_stays_when_its_article_left_for_copied_sentences(build: Build, prose: Prose) -> None:
    """Half of the article is in the other one, but its abstract is not."""
    shared = prose.text(30)
    corpus = build(
        article(5, prose.text(), f"{shared}\n{prose.text(20)}"),
        article(6, prose.text(), shared + " " + prose.text(10), pmid=1),
        abstract(1, prose.text()),
    )
    assert corpus.copies() == {"pmc:PMC6": (COPIED, "pmc:PMC5")}
    assert "pubmed:1" in corpus.ids()


def test_articles_are_kept_before_anything_else(build: Build, prose: Prose) -> None:
    text, body = prose.text(), prose.text(20)
    whole = f"{text}\n{body}"
    corpus = build(
        document("pile:f:1", whole), document("pile:f:2", edited(whole, 4)), article(5, text, body)
    )
    assert corpus.ids() == {"pmc:PMC5"}
    assert corpus.copies() == {"pile:f:1": (EXACT, "pmc:PMC5"), "pile:f:2": (NEAR, "pmc:PMC5")}


def test_of_near_duplicates_the_longest_is_kept_else_the_first(build: Build, prose: Prose) -> None:
    text = prose.text()
    longer = f"{text} Added at the end of the text so that it is clearly longer."
    corpus = build(
        document("a", edited(text, 2)), document("b", longer), document("c", edited(text, 2, seed=2))
    )
    assert corpus.copies() == {"a": (NEAR, "b"), "c": (NEAR, "b")}
    assert all(0.6 <= line["similarity"] < 1 for line in corpus.lines("copies.jsonl.zst"))
    corpus = build(document("a", edited(text, 2)), document("b", text), output="second")
    assert corpus.copies() == {"b": (NEAR, "a")}
    about_as_long = f"{text} Two more words."
    corpus = build(document("a", edited(text, 2)), document("b", about_as_long), output="third")
    assert corpus.copies() == {"b": (NEAR, "a")}, "of about equal length the earlier"


def test_each_near_duplicate_resembles_the_kept_one_itself(build: Build, prose: Prose) -> None:
    """a resembles b and b resembles c, but a does not resemble c."""
    chain = [prose.sentences(20)]
    for _ in range(2):
        chain.append([*chain[-1][4:], *prose.sentences(4)])
    texts = [" ".join(sentences) for sentences in chain]
    corpus = build(
        document("a", texts[0] + " Longest."),
        *(document(n, t) for n, t in zip("bc", texts[1:], strict=True)),
        copied_sentence_fraction=0.0,
    )
    assert corpus.copies() == {"b": (NEAR, "a")}
    assert corpus.ids() == {"a", "c"}


def test_a_document_of_copied_sentences_is_dropped(build: Build, prose: Prose) -> None:
    first, second = prose.sentences(10), prose.sentences(10)
    mixed = " ".join([*first[:4], *second[5:8], *prose.sentences(5)])
    half = " ".join([*first[:4], *second[5:6], *prose.sentences(7)])
    corpus = build(
        document("a", " ".join(first)),
        document("b", " ".join(second)),
        document("c", mixed),
        document("d", half),
    )
    assert corpus.copies() == {"c": (COPIED, "a")}
    (line,) = corpus.lines("copies.jsonl.zst")
    assert line["similarity"] == round(7 / 12, 3)
    strict = build(
        document("a", " ".join(first)), document("d", half), output="strict", copied_sentence_fraction=0.3
    )
    assert strict.copies() == {"d": (COPIED, "a")}


def test_only_kept_documents_make_sentences_copied(build: Build, prose: Prose) -> None:
    """b goes for a; what c has of b and b has not of a must stay."""
    a, own = prose.sentences(8), prose.sentences(6)
    b = " ".join([*a[:7], *own])
    c = " ".join([*own, *prose.sentences(4)])
    assert build(document("a", " ".join(a)), document("b", b), document("c", c)).copies() == {
        "b": (COPIED, "a")
    }


def test_an_abstract_copied_from_a_later_article_is_dropped(build: Build, prose: Prose) -> None:
    sentences = prose.sentences(8)
    changed = " ".join([*sentences[:6], *prose.sentences(2)])
    corpus = build(document("old", changed), article(5, " ".join(sentences), prose.text(30)))
    assert corpus.copies() == {"old": (COPIED, "pmc:PMC5")}


def test_options_turn_each_off(build: Build, prose: Prose) -> None:
    sentences = prose.sentences(10)
    text = " ".join(sentences)
    documents = (
        document("a", text),
        document("near", edited(text, 3)),
        document("copied", " ".join([*sentences[:5], *prose.sentences(4)])),
    )
    off: dict[str, Any] = {"near_duplicate_similarity": 0.0, "copied_sentence_fraction": 0.0}
    assert build(*documents, output="off", **off).ids() == {"a", "near", "copied"}
    assert build(*documents, output="near", copied_sentence_fraction=0.0).ids() == {"a", "copied"}


def reference_kept(texts: list[list[str]], fraction: float) -> list[int]:
    """One document after the other, as one would do it by hand."""
    kept, known = [], set()
    for number, sentences in enumerate(texts):
        words = sum(len(sentence.split()) for sentence in sentences)
        copied = sum(len(sentence.split()) for sentence in sentences if sentence in known)
        if copied < fraction * words:
            kept.append(number)
            known |= set(sentences)
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_copied_sentences_equal_the_reference(build: Build, seed: int) -> None:
    """Random chains of copies of copies, in which most decisions hang on others."""
    chooser, prose = random.Random(seed), Prose(seed)
    pool = prose.sentences(60)
    texts = [chooser.sample(pool, chooser.randint(3, 10)) for _ in range(80)]
    fraction = chooser.choice([0.3, 0.5, 0.8])
    corpus = build(
        *(document(str(number), " ".join(sentences)) for number, sentences in enumerate(texts)),
        near_duplicate_similarity=0.0,
        copied_sentence_fraction=fraction,
    )
    assert {reason for reason, _ in corpus.copies().values()} == {COPIED}
    assert sorted(map(int, corpus.ids())) == reference_kept(texts, fraction)


def test_every_copy_names_a_kept_document(build: Build, prose: Prose) -> None:
    sentences = [prose.sentences(9) for _ in range(12)]
    texts = [" ".join(each) for each in sentences]
    texts += [edited(text, 3, seed=number) for number, text in enumerate(texts)]
    texts += [" ".join([*sentences[n][:5], *sentences[n + 1][:4], prose.sentence()]) for n in range(11)]
    texts += [text.upper() for text in texts]
    random.Random(3).shuffle(texts)
    corpus = build(*(document(str(number), text) for number, text in enumerate(texts)))
    kept = corpus.ids()
    assert {of for _, of in corpus.copies().values()} <= kept
    assert kept | corpus.copies().keys() == {str(number) for number in range(len(texts))}
    assert len(kept) + len(corpus.copies()) == len(texts)
