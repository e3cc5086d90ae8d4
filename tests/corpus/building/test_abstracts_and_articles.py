"""From XML to the corpus: an abstract of PubMed and its article of PMC are one thing, however they name each other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main
from megatron_bio.corpus.building.split import SPLIT_NAMES
from megatron_bio.corpus.document import Document, read_documents
from tests.corpus.building.conftest import Corpus, Prose

Build = Callable[..., Corpus]
INSIDE = "abstract inside an article"
FORMS: list[dict[str, Any]] = [
    {"pmid": 4},
    {"pmid": "4"},
    {"pmid": "4.0"},
    {"pmid": 4.0},
    {"pmid": "PMID:4"},
    {},
]
SPLIT = ("--split", "0.4", "0.3", "0.3")


def citation(pmid: int, abstract: str) -> str:
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><ArticleTitle>On rats.</ArticleTitle>'
        f"<Abstract><AbstractText>{abstract}</AbstractText></Abstract><Language>eng</Language></Article></MedlineCitation>"
        f'<PubmedData><ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId><ArticleId IdType="pmc">PMC{900 + pmid}'
        "</ArticleId></ArticleIdList></PubmedData></PubmedArticle>"
    )


def jats(pmid: int, abstract: str, body: str) -> str:
    return (
        f'<article article-type="research-article"><front><article-meta><article-id pub-id-type="pmc">{900 + pmid}</article-id>'
        f'<article-id pub-id-type="pmid">{pmid}</article-id><title-group><article-title>On rats</article-title></title-group>'
        '<permissions><license xmlns:xlink="http://www.w3.org/1999/xlink" '
        'xlink:href="http://creativecommons.org/licenses/by/4.0/"/></permissions>'
        f"{abstract and f'<abstract><p>{abstract}</p></abstract>'}</article-meta></front><body><p>{body}</p></body></article>"
    )


def test_abstract_inside_its_article_is_dropped_and_both_land_in_the_same_split(
    prose: Prose, tmp_path: Path
) -> None:
    """The abstracts of odd PMIDs are worded otherwise in their articles; every third article has none, so both are kept."""
    pmids = range(1, 40)
    texts = {pmid: prose.text() for pmid in pmids}
    pubmed, pmc = tmp_path / "pubmed.jsonl.zst", tmp_path / "pmc.jsonl.zst"
    xml = tmp_path / "pubmed.xml"
    xml.write_text(
        f"<PubmedArticleSet>{''.join(citation(*each) for each in texts.items())}</PubmedArticleSet>"
    )
    for pmid, text in texts.items():
        own = "" if pmid % 3 == 0 else text if pmid % 2 == 0 else prose.text()
        (tmp_path / f"PMC{900 + pmid}.xml").write_text(jats(pmid, own, prose.text(20)))
    assert main(["extract", "pubmed", str(xml), "--output", str(pubmed)]) == 0
    assert main(["extract", "pmc", str(tmp_path / "PMC*.xml"), "--output", str(pmc)]) == 0
    corpus = Corpus(tmp_path / "corpus")
    assert main(["corpus", "build", str(pubmed), str(pmc), "--output", str(corpus.path), *SPLIT]) == 0
    inside = {pmid for pmid in pmids if pmid % 3}
    assert corpus.copies() == {f"pubmed:{pmid}": (INSIDE, f"pmc:PMC{900 + pmid}") for pmid in inside}
    sides = [corpus.ids(name) for name in SPLIT_NAMES]
    assert all(sides)
    for pmid in set(pmids) - inside:
        assert any({f"pubmed:{pmid}", f"pmc:PMC{900 + pmid}"} <= side for side in sides)
    assert len(list(read_documents([pmc]))) == len(pmids)


@pytest.mark.parametrize("of_abstract", FORMS)
@pytest.mark.parametrize("of_article", FORMS[:-1])
def test_a_pmid_in_any_form_ties_them(
    build: Build, prose: Prose, of_abstract: dict[str, Any], of_article: dict[str, Any]
) -> None:
    abstract = Document(id="pubmed:4", text=prose.text(), source="pubmed", meta=of_abstract)
    text = f"{prose.text()}\n{prose.text(20)}"
    article = Document(id="pmc:PMC904", text=text, source="pmc", meta={**of_article, "abstract_lines": 1})
    corpus = build(abstract, article)
    assert corpus.copies() == {"pubmed:4": (INSIDE, "pmc:PMC904")}


def test_a_benchmark_list_drops_the_abstract_and_the_article(
    build: Build, prose: Prose, tmp_path: Path
) -> None:
    pmids = tmp_path / "pmids.csv"
    pmids.write_text("pmid\n4\n")
    documents = [Document(id=f"x:{n}", text=prose.text(), meta=form) for n, form in enumerate(FORMS[:-1])]
    documents += [Document(id=name, text=prose.text()) for name in ("pubmed:4", "pubmed:5")]
    corpus = build(*documents, benchmarks=[str(pmids)])
    assert corpus.ids() == {"pubmed:5"}
    assert set(corpus.dropped().values()) == {"PMID of a benchmark"}
