"""JSONL, and plain text in which a line or a paragraph is a document: readers of batches of lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.line_pieces import kept_or_reason, lost
from megatron_bio.corpus.extraction.records import Record
from megatron_bio.corpus.json_lines import parse_object
from megatron_bio.corpus.line_batches import LineBatch
from megatron_bio.corpus.text.fields import DocumentKeys

_BLANK_LINES = re.compile(rb"\n(?:[ \t\r\f\v]*\n)+")
_LINE_END = re.compile(r"\r\n?")


@dataclass(frozen=True, kw_only=True)
class JsonReader:
    """Reads one object per line."""

    keys: DocumentKeys
    file_id: str

    def read(self, batch: LineBatch) -> Iterator[Record]:
        """As `BatchReader`."""
        for number, line in enumerate(batch.data.split(b"\n"), start=batch.first_line):
            if not line or line.isspace():
                continue
            try:
                fields = parse_object(batch.path, number, line)
                yield self.keys.record(batch.path, number, fields, self.file_id)
            except DamagedFileError as error:
                yield lost(error)


@dataclass(frozen=True, kw_only=True)
class PlainReader:
    """Reads one document per line, or per run of lines between blank ones; it is named after its first line."""

    at_blank_lines: bool
    source: str
    minimum_words: int
    file_id: str

    def read(self, batch: LineBatch) -> Iterator[Record]:
        """As `BatchReader`."""
        separator = _BLANK_LINES if self.at_blank_lines else re.compile(rb"\n")
        start, number = 0, batch.first_line
        ends = [match.span() for match in separator.finditer(batch.data)]
        for end, next_start in [*ends, (len(batch.data), len(batch.data))]:
            content = batch.data[start:end]
            blank = len(content) - len(content.lstrip())
            if content[blank:]:
                first = number + content.count(b"\n", 0, blank)
                yield self._record(batch.path, first, content)
            number += batch.data.count(b"\n", start, next_start)
            start = next_start

    def _record(self, path: Path, number: int, content: bytes) -> Record:
        try:
            text = plain_text(path, f"the document at line {number}", content)
        except DamagedFileError as error:
            return lost(error)
        document = Document(id=f"{self.file_id}:{number}", text=text, source=self.source)
        return kept_or_reason(document, self.minimum_words)


def plain_text(path: Path, place: str, content: bytes) -> str:
    r"""The text in UTF-8 bytes, each line end as \n, without white space around it; raises DamagedFileError."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFileError(
            path,
            "wrong encoding",
            f"{place}: expected UTF-8, found the byte 0x{content[error.start]:02x} at its byte {error.start:,}. Give the "
            "--encoding (often latin-1 or cp1252), or convert the file with iconv.",
        ) from error
    return _LINE_END.sub("\n", text).strip() if "\r" in text else text.strip()
