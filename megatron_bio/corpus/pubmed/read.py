"""PubMed XML → citations, deletions and damage, one after the other, in constant memory.

Reads PubmedArticleSet and MedlineCitationSet, one record as the root, PubmedBookArticle (title and abstract of a book
or chapter) and the spelling PubMedArticle of 2001. Entities are never expanded and no other file or address is opened.
"""

import re
from collections.abc import Iterator
from html.entities import html5
from pathlib import Path
from typing import Any

from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError
from megatron_bio.corpus.extraction.records import Lost
from megatron_bio.corpus.pubmed.citation import (
    NO_CITATION,
    UNKNOWN_ENTITY,
    Citation,
    Deletion,
    UnusableRecord,
)
from megatron_bio.corpus.pubmed.content import LineFinder, XmlContent
from megatron_bio.corpus.pubmed.fields import to_citation
from megatron_bio.corpus.pubmed.parser import PieceParser
from megatron_bio.corpus.pubmed.prologue import shown
from megatron_bio.corpus.pubmed.shortcut import usual_fields
from megatron_bio.corpus.pubmed.splitter import Damage, RawRecord, RecordSplitter
from megatron_bio.corpus.pubmed.tree import deletions, record_fields

WRONG_ENCODING = "wrong encoding"
NOT_WELL_FORMED = "not well-formed XML"
DOWNLOAD_AGAIN = "Download the file again and compare its checksum"
_PARSER_POSITION = re.compile(r"[.,]*\s*line \d+, column \d+.*$")
_ENTITY = re.compile(rb"&(?!(?:lt|gt|amp|quot|apos);)([A-Za-z_:][^\s<>&;]*);")
_NO_ENTITIES_INSIDE = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)
_PMID = re.compile(rb"<PMID[^<>]*>([0-9]{1,10})</PMID>")

PubmedRecord = Citation | Deletion | UnusableRecord | Lost


def read_pubmed(path: Path, *, all_fields: bool = True, shortcut: bool = True) -> Iterator[PubmedRecord]:
    """The records of one file in its order; each piece of damage is a `Lost` in the place of what it cost.

    Without `all_fields` a citation has title, abstract and languages only. Without `shortcut` each record is parsed whole,
    which gives the same, slower. Raises DamagedFileError where reading ends: no file of PubMed, or damaged compression.
    """
    with XmlContent(path) as content:
        yield from _FileReader(path, content, all_fields, shortcut).records()


class _FileReader:
    def __init__(self, path: Path, content: XmlContent, all_fields: bool, shortcut: bool) -> None:
        self._path = path
        self._splitter = RecordSplitter(path, content)
        self._parser = PieceParser(self._splitter.root.tag)
        self._lines = LineFinder(path)
        self._all_fields = all_fields
        self._shortcuts = {"PubmedArticle", "MedlineCitation"} if shortcut else set()

    def records(self) -> Iterator[PubmedRecord]:
        for piece in self._splitter:
            if isinstance(piece, Damage):
                yield self._lost(piece.position, piece.story, piece.records)
                continue
            if piece.name in self._shortcuts and not piece.has_marks:
                fields = usual_fields(piece, self._all_fields, self._parser)
                if fields is not None:
                    yield to_citation(fields)
                    continue
            yield from self._with_care(piece)
        self._lines.close()

    def _with_care(self, piece: RawRecord) -> Iterator[PubmedRecord]:
        xml = piece.xml
        cost = 1 if piece.name else len(self._splitter.record_end.findall(xml))
        try:
            xml.decode()
            holder = self._parser.elements(xml)
            if not piece.name:
                yield from self._between_records(piece, holder)
            elif piece.name == "DeleteCitation":
                yield from deletions(holder[0])
            else:
                yield to_citation(record_fields(holder[0], self._all_fields))
        except UnknownEntityError:
            place, name = _entity(xml)
            story = f"expected only entities of XML and HTML, those of HTML not in attributes, found {name}{_whose(xml)}"
            remedy = "A file's own entities are never expanded: write their text in their place"
            yield self._lost(piece.position + place, story, cost, UNKNOWN_ENTITY, remedy)
        except UnicodeDecodeError as error:
            found = f"expected UTF-8, found the byte 0x{xml[error.start]:02x}{_whose(xml)}"
            yield self._lost(piece.position + error.start, found, cost, WRONG_ENCODING)
        except etree.XMLSyntaxError as error:
            what = _PARSER_POSITION.sub("", error.msg or "unreadable content")
            story = f"expected well-formed XML, found{_whose(xml)}: {what}"
            place = piece.position + _line_begin(xml, error.lineno or 1)
            yield self._lost(place, story, cost)

    def _between_records(self, piece: RawRecord, holder: Any) -> Iterator[PubmedRecord]:
        """Elements that are no records are counted; text has no business there."""
        for _ in holder:
            yield UnusableRecord(reason=NO_CITATION)
        if (holder.text or "").strip() or any((element.tail or "").strip() for element in holder):
            yield self._lost(piece.position, f"expected a record, found {shown(piece.xml)}", 0)

    def _lost(
        self,
        position: int,
        story: str,
        records: int,
        reason: str = NOT_WELL_FORMED,
        remedy: str = DOWNLOAD_AGAIN,
    ) -> Lost:
        line = self._lines.line(position)
        return Lost(
            path=self._path,
            reason=reason,
            message=f"line {line} (byte {position:,} of the XML): {story}. {remedy}; "
            "--on_error keep reads what is intact.",
            records=records,
        )


def _whose(xml: bytes) -> str:
    pmid = _PMID.search(xml)
    return f" in the record of PMID {pmid[1].decode()}" if pmid else ""


def _entity(xml: bytes) -> tuple[int, str]:
    """Where the first entity stands that is not understood, and how it looks."""
    text = _NO_ENTITIES_INSIDE.sub(lambda inside: b" " * len(inside[0]), xml)
    found = [(one.start(), shown(one[0]), one[1].decode()) for one in _ENTITY.finditer(text)]
    unknown = [one for one in found if f"{one[2]};" not in html5]
    place, look, _ = (*unknown, *found, (0, "one", ""))[0]
    return place, look


def _line_begin(xml: bytes, line: int) -> int:
    """Where a line, counted from 1, begins."""
    at = 0
    for _ in range(line - 1):
        at = xml.find(b"\n", at) + 1
    return at
