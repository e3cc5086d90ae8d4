"""What one record of PubMed says, and the document made of it."""

from dataclasses import dataclass

from megatron_bio.corpus.document import Document

SOURCE = "pubmed"
NO_PMID = "no valid PMID"
UNKNOWN_ENTITY = "entity that is never expanded"
NO_CITATION = "element that is no citation"


@dataclass(kw_only=True, slots=True)
class Citation:
    """One record; `title` and `abstract` may be empty, the sections of `abstract` are separated by a newline."""

    pmid: int
    version: int
    title: str
    abstract: str
    meta: dict[str, object]
    """As in `Document.meta`, without what follows from the other fields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """A record that NLM withdrew; `version` None withdraws all versions."""

    pmid: int
    version: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnusableRecord:
    """A record that cannot be used although its XML is sound, with the phrase it is counted under."""

    reason: str


def document_parts(citation: Citation) -> tuple[str, str, str, dict[str, object]]:
    """Id, title, text and meta. A record without abstract has its title as text, and `title_only` in its meta."""
    meta = {"pmid": citation.pmid, "version": citation.version, **citation.meta}
    title, text = citation.title, citation.abstract
    if not text:
        title, text = "", title
        meta["title_only"] = True
    return f"{SOURCE}:{citation.pmid}", title, text, meta


def to_document(citation: Citation) -> Document:
    """The document of a citation, see `document_parts`."""
    id_, title, text, meta = document_parts(citation)
    return Document(id=id_, title=title, text=text, source=SOURCE, meta=meta)
