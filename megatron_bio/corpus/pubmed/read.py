"""PubMed XML → citations and deletions, one after the other, in constant memory.

Reads PubmedArticleSet and MedlineCitationSet, one record as the root, PubmedBookArticle (title and abstract of a book
or chapter) and the spelling PubMedArticle of 2001. Entities are never expanded and no other file or address is opened.
Element descriptions: https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError
from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.markup_text import element_text

RECORDS: Final = frozenset(
    {"PubmedArticle", "PubMedArticle", "MedlineCitation", "PubmedBookArticle", "DeleteCitation"}
)
ROOTS: Final = RECORDS | {"PubmedArticleSet", "PubMedArticleSet", "MedlineCitationSet"}
SAFE_PARSING: Final = MappingProxyType(
    {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
)
PLACEHOLDER_TITLES: Final = frozenset({"not available", "in process citation"})
NO_LABELS: Final = frozenset({"", "UNLABELLED", "UNLABELED", "UNASSIGNED"})
NO_PMID = "no valid PMID"
UNKNOWN_ENTITY = "entity that is never expanded"

_PMID = re.compile(r"[0-9]{1,10}")
_VERSION = re.compile(r"[0-9]{1,5}")
_YEAR = re.compile(r"\d{4}")
_TRUNCATION_MARK = re.compile(r"\s?\(ABSTRACT TRUNCATED(?: AT \d+ WORDS)?\)$")
_PARSER_POSITION = re.compile(r"[.,]*\s*line \d+, column \d+$")
_TRANSLATOR_MARK = re.compile(r"\s*\(author's transl\)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """One record; `title` and `abstract` may be empty, the sections of `abstract` are separated by a newline."""

    pmid: int
    version: int
    title: str
    abstract: str
    other_abstracts: int
    meta: dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """A record that NLM withdrew; `version` None withdraws all versions."""

    pmid: int
    version: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnusableRecord:
    """A record that cannot be used, with the phrase it is counted under."""

    reason: str


def to_document(citation: Citation) -> Document:
    """The document of a citation. A record without abstract has its title as text, and `title_only` in its meta."""
    meta = {"version": citation.version, **citation.meta}
    if not citation.abstract:
        return Document(
            id=f"pubmed:{citation.pmid}",
            text=citation.title,
            source="pubmed",
            meta={**meta, "title_only": True},
        )
    return Document(
        id=f"pubmed:{citation.pmid}", title=citation.title, text=citation.abstract, source="pubmed", meta=meta
    )


def read_pubmed(
    path: Path, on_progress: Callable[[int], None] | None = None
) -> Iterator[Citation | Deletion | UnusableRecord]:
    """The records of one file in its order; `on_progress` gets the compressed bytes read so far at every record.

    Raises DamagedFileError when the damage is reached: empty, truncated, not well-formed, another kind of XML.
    """
    try:
        _check_root(path)
        with DecompressedFile(path) as stream:
            for _, record in etree.iterparse(
                stream,
                events=("end",),
                tag=tuple(RECORDS),
                remove_comments=True,
                remove_pis=True,
                **SAFE_PARSING,
            ):
                if record.tag == "MedlineCitation" and _is_inside_record(record):
                    continue
                yield from _records(record)
                _release(record)
                if on_progress is not None:
                    on_progress(stream.compressed_position)
    except etree.XMLSyntaxError as error:
        what = _PARSER_POSITION.sub("", error.msg or "unreadable content")
        raise DamagedFileError(
            path,
            "not well-formed XML",
            f"line {error.lineno}, column {error.offset}: expected well-formed PubMed XML, found: {what}. Download the "
            "file again and compare its checksum; if several XML documents were joined into one file, split them.",
        ) from error


def _check_root(path: Path) -> None:
    with DecompressedFile(path) as stream:
        if not stream.read(1):
            raise DamagedFileError(
                path, "empty", "expected PubMed XML, found an empty file. Download it again or leave it out."
            )
    with DecompressedFile(path) as stream:
        _, root = next(iter(etree.iterparse(stream, events=("start",), **SAFE_PARSING)))
    if root.tag not in ROOTS:
        hint = " That is a full text (JATS), not a PubMed citation." if root.tag == "article" else ""
        raise DamagedFileError(
            path,
            "wrong root element",
            f"expected PubMed XML with the root element PubmedArticleSet or MedlineCitationSet, found <{root.tag}>.{hint} "
            "Give only files of PubMed citations to this verb.",
        )


def _is_inside_record(element: Any) -> bool:
    parent = element.getparent()
    return parent is not None and parent.tag in RECORDS


def _release(record: Any) -> None:
    """Frees everything before a record that was read; lxml would otherwise keep the whole file."""
    parent = record.getparent()
    while parent is not None and record.getprevious() is not None:
        del parent[0]


def _records(record: Any) -> Iterator[Citation | Deletion | UnusableRecord]:
    if record.tag == "DeleteCitation":
        for element in record.iterchildren("PMID"):
            pmid = _pmid(element)
            version = _VERSION.fullmatch(element.get("Version", ""))
            if pmid is None:
                yield UnusableRecord(reason=NO_PMID)
            else:
                yield Deletion(pmid=pmid, version=int(version[0]) if version else None)
        return
    try:
        yield _citation(record)
    except UnknownEntityError:
        yield UnusableRecord(reason=UNKNOWN_ENTITY)


def _citation(record: Any) -> Citation | UnusableRecord:
    if record.tag == "PubmedBookArticle":
        holder = record.find("BookDocument")
        content = holder
    else:
        holder = record if record.tag == "MedlineCitation" else record.find("MedlineCitation")
        content = None if holder is None else holder.find("Article")
    number = None if holder is None else holder.find("PMID")
    pmid = None if number is None else _pmid(number)
    if pmid is None or number is None or holder is None:
        return UnusableRecord(reason=NO_PMID)
    version = _VERSION.fullmatch(number.get("Version", "1"))
    meta: dict[str, object] = {}
    title, abstract = "", ""
    if content is not None:
        title = _title(content, meta)
        abstract = _abstract(content.find("Abstract"))
        _describe(content, meta)
    return Citation(
        pmid=pmid,
        version=int(version[0]) if version else 1,
        title=title,
        abstract=abstract,
        other_abstracts=len(holder.findall("OtherAbstract")),
        meta=meta,
    )


def _pmid(element: Any) -> int | None:
    match = _PMID.fullmatch((element.text or "").strip())
    return int(match[0]) if match else None


def _title(content: Any, meta: dict[str, object]) -> str:
    element = content.find("ArticleTitle")
    if element is None:
        element = content.find("Book/BookTitle")
    title = "" if element is None else element_text(element)
    title, translated = _without_brackets(title)
    if translated:
        meta["translated_title"] = True
    vernacular = content.find("VernacularTitle")
    if vernacular is not None:
        meta["vernacular_title"] = element_text(vernacular)
    return title


def _without_brackets(title: str) -> tuple[str, bool]:
    """A translated title stands in brackets, `[Title].`; a missing one is `[Not Available].`, here empty."""
    core = title.rstrip(". ")
    inner = core
    translated = core.startswith("[") and _closing_bracket(core) == len(core) - 1
    if translated:
        inner = _TRANSLATOR_MARK.sub("", core[1:-1].strip())
    if inner.rstrip(".").casefold() in PLACEHOLDER_TITLES:
        return "", False
    if not translated:
        return title, False
    end = "" if inner.endswith((".", "?", "!", "…")) or core == title else "."
    return inner + end, True


def _closing_bracket(text: str) -> int:
    """Where the bracket opened by the first character closes; -1 if nowhere."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth == 0:
            return index
    return -1


def _abstract(element: Any | None) -> str:
    if element is None:
        return ""
    sections = []
    for section in element.iterchildren("AbstractText"):
        text = element_text(section)
        if text.endswith(")"):
            text = _TRUNCATION_MARK.sub("", text)
        label = section.get("Label", "").strip().rstrip(":")
        if text:
            sections.append(text if label.upper() in NO_LABELS else f"{label}: {text}")
    return "\n".join(sections)


def _describe(content: Any, meta: dict[str, object]) -> None:
    """What later filters ask for: year, journal, languages, publication types."""
    date = content.find("Journal/JournalIssue/PubDate")
    if date is None:
        date = content.find("Book/PubDate")
    year = None if date is None else _YEAR.search(" ".join(date.itertext()))
    if year:
        meta["year"] = int(year[0])
    journal = content.findtext("Journal/Title") or content.findtext("Book/BookTitle")
    if journal:
        meta["journal"] = journal.strip()
    languages = [element.text for element in content.iterchildren("Language") if element.text]
    if languages:
        meta["languages"] = languages
    types = [
        element.text for element in content.findall("PublicationTypeList/PublicationType") if element.text
    ]
    types += [element.text for element in content.iterchildren("PublicationType") if element.text]
    if types:
        meta["publication_types"] = types
