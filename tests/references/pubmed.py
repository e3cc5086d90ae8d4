"""PubMed read the plain way: the whole tree at once, every text as it stands. Nothing of the package is used."""

import gzip
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

RECORDS = ("PubmedArticle", "PubMedArticle", "PubmedBookArticle", "MedlineCitation")
NO_LABELS = ("", "UNLABELLED", "UNASSIGNED")


@dataclass(frozen=True)
class PlainCitation:
    """What stands in a record, without any rendering."""

    pmid: str
    title: str
    abstract: str
    has_formula: bool
    mesh: list[str]
    dois: list[str]


def read_plain(path: Path) -> tuple[list[PlainCitation], list[str]]:
    """The records of a file, and the PMIDs that it deletes."""
    content = path.read_bytes()
    tree = etree.fromstring(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    citations = [plain_citation(record) for record in tree if record.tag in RECORDS]
    deleted = [number.text for record in tree if record.tag == "DeleteCitation" for number in record]
    return citations, deleted


def plain_citation(record: etree._Element) -> PlainCitation:
    """One record."""
    citation = record if record.tag == "MedlineCitation" else record.find("MedlineCitation")
    if citation is None:
        citation = record.find("BookDocument")
    if citation is None:
        return PlainCitation("", "", "", False, [], [])
    article = citation.find("Article") if citation.tag == "MedlineCitation" else citation
    for sign in article.iter("u"):
        sign.text = {"<": "≤", ">": "≥", "+": "±"}.get((sign.text or "").strip(), sign.text)
    title = article.find("ArticleTitle")
    abstract = ""
    for part in article.findall("Abstract/AbstractText"):
        label = part.get("Label", "")
        inner = "".join(part.itertext())
        if inner.strip():
            abstract += ("" if label.upper() in NO_LABELS else label + ":") + inner + "\n"
    return PlainCitation(
        pmid=citation.findtext("PMID", ""),
        title="" if title is None else "".join(title.itertext()),
        abstract=abstract,
        has_formula=bool(article.xpath(".//*[local-name()='math']")),
        mesh=[name.text for name in citation.findall("MeshHeadingList/MeshHeading/DescriptorName")],
        dois=[number.text for number in record.findall("PubmedData/ArticleIdList/ArticleId[@IdType='doi']")],
    )


def bare(text: str) -> str:
    """The characters without white space and without the difference between 10⁶ and 106, which only we make."""
    folded = unicodedata.normalize("NFKD", text)
    return "".join(character for character in folded if not character.isspace() and character.isprintable())
