from collections import Counter
from collections.abc import Callable

from megatron_bio.corpus.building.split import SPLIT_NAMES, split_of
from megatron_bio.corpus.document import Document
from tests.corpus.building.conftest import Corpus, Prose

FRACTIONS = (0.8, 0.15, 0.05)


def test_fractions_are_met() -> None:
    counts = Counter(split_of(Document(id=f"x:{number}", text=""), FRACTIONS) for number in range(20_000))
    for split, fraction in enumerate(FRACTIONS):
        assert abs(counts[split] / 20_000 - fraction) < 4 * (fraction * (1 - fraction) / 20_000) ** 0.5
    assert {split_of(Document(id=str(n), text=""), (0.0, 0.0, 1.0)) for n in range(100)} == {2}
    assert {split_of(Document(id=str(n), text=""), (0.999_999_9, 0.0, 0.0)) for n in range(100)} == {0}


def test_an_abstract_and_its_article_are_on_the_same_side() -> None:
    for number in range(200):
        pmcid = f"PMC{number + 7}"
        abstract = Document(id=f"pubmed:{number}", text="a", meta={"pmid": number, "pmcid": pmcid})
        article = Document(id=f"pmc:{pmcid}", text="b", meta={"pmcid": pmcid})
        with_both = Document(id=f"x:{number}", text="c", meta={"pmid": number, "pmcid": pmcid.lower()})
        without = Document(id=f"pmc:{pmcid}", text="d", meta={"pmid": number})
        number_only = Document(id=f"y:{number}", text="e", meta={"pmcid": number + 7})
        documents = (abstract, article, with_both, without, number_only)
        sides = {split_of(document, FRACTIONS) for document in documents}
        assert len(sides) == 1


def test_without_a_pmcid_the_pmid_counts() -> None:
    for pmid in range(1, 200):
        forms = (pmid, f"{pmid}", f"{pmid}.0", float(pmid), f"PMID:{pmid}")
        documents = [Document(id=f"x:{pmid}", text="a", meta={"pmid": form}) for form in forms]
        documents.append(Document(id=f"pubmed:{pmid}", text="b"))
        assert len({split_of(document, FRACTIONS) for document in documents}) == 1


def test_growing_a_corpus_moves_no_document(build: Callable[..., Corpus], prose: Prose) -> None:
    documents = [Document(id=f"x:{number}", text=prose.text(3)) for number in range(60)]
    small = build(*documents[:30], output="small", split=(0.5, 0.3, 0.2))
    large = build(*documents[::-1], output="large", split=(0.5, 0.3, 0.2))
    for name in SPLIT_NAMES:
        assert small.ids(name) and small.ids(name) == large.ids(name) & small.ids()
