"""Writers of small PubMed files, so that each test shows only what it is about."""

from collections.abc import Callable
from pathlib import Path

import pytest

DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2024//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_240101.dtd">'
)


@pytest.fixture
def citation() -> Callable[..., str]:
    """The XML of one PubmedArticle; `abstract` is the inner XML of Abstract, "" leaves the element out."""

    def make(
        pmid: int | str = 1,
        *,
        version: int = 1,
        title: str = "A title.",
        abstract: str = "<AbstractText>Some words here.</AbstractText>",
        article: str = "",
        outside: str = "",
    ) -> str:
        holder = f"<Abstract>{abstract}</Abstract>" if abstract else ""
        return (
            f'<PubmedArticle><MedlineCitation><PMID Version="{version}">{pmid}</PMID>'
            f"<Article><ArticleTitle>{title}</ArticleTitle>{holder}{article}</Article>{outside}</MedlineCitation>"
            "<PubmedData><ReferenceList><Reference><ArticleIdList>"
            '<ArticleId IdType="pubmed">999</ArticleId></ArticleIdList></Reference></ReferenceList></PubmedData>'
            "</PubmedArticle>"
        )

    return make


@pytest.fixture
def deletion() -> Callable[..., str]:
    def make(*pmids: int, version: int | None = 1) -> str:
        attribute = "" if version is None else f' Version="{version}"'
        return (
            f"<DeleteCitation>{''.join(f'<PMID{attribute}>{pmid}</PMID>' for pmid in pmids)}</DeleteCitation>"
        )

    return make


@pytest.fixture
def pubmed_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a PubmedArticleSet of the given records and gives its path."""

    def write(*records: str, name: str = "pubmed.xml", doctype: str = DOCTYPE) -> Path:
        path = tmp_path / name
        body = "\n".join(records)
        path.write_text(
            f'<?xml version="1.0" encoding="utf-8"?>\n{doctype}\n<PubmedArticleSet>\n{body}\n</PubmedArticleSet>\n',
            encoding="utf-8",
        )
        return path

    return write
