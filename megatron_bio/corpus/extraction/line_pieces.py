"""Pieces of input for sources that are long text files with one record, or one paragraph of records, per line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Kept, LeftOut, Lost, Piece, Record
from megatron_bio.corpus.line_batches import LineBatch, line_batches
from megatron_bio.corpus.work_folder import file_identity


class BatchReader(Protocol):
    """Knows how to read the records in a batch of lines; it travels to another process by pickle."""

    def read(self, batch: LineBatch) -> Iterator[Record]:
        """The records in order."""


@dataclass(frozen=True, kw_only=True)
class LinesPiece:
    """A batch of lines with its reader."""

    batch: LineBatch
    file_number: int
    reader: BatchReader

    @property
    def name(self) -> str:
        """As `Piece`."""
        return f"{self.file_number:06d}-{self.batch.number:06d}"

    @property
    def place(self) -> str:
        """As `Piece`."""
        return self.batch.place

    @property
    def identity(self) -> object:
        """As `Piece`."""
        path = self.batch.path
        return [path.as_posix(), *file_identity(path), self.batch.first_line, len(self.batch.data)]

    @property
    def progress_bytes(self) -> int:
        """As `Piece`."""
        return self.batch.compressed_bytes

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        return self.reader.read(self.batch)


@dataclass(frozen=True, kw_only=True)
class DamagedPiece:
    """A place where a file could not be read on; what became of it is for `--on_error` to say."""

    error: DamagedFileError
    file_number: int

    @property
    def name(self) -> str:
        """As `Piece`."""
        return f"{self.file_number:06d}-damage"

    @property
    def place(self) -> str:
        """As `Piece`."""
        return str(self.error.path)

    @property
    def identity(self) -> object:
        """As `Piece`."""
        return [self.error.path.as_posix(), *file_identity(self.error.path), self.error.message]

    @property
    def progress_bytes(self) -> int:
        """As `Piece`."""
        return 0

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        yield lost(self.error, records=0)


def line_pieces(
    path: Path, file_number: int, reader: BatchReader, *, encoding: str = "", at_blank_lines: bool = False
) -> Iterator[Piece]:
    """The batches of a file, see `line_batches`, and where it is damaged a `DamagedPiece` at the end."""
    try:
        for batch in line_batches(path, encoding=encoding, at_blank_lines=at_blank_lines):
            yield LinesPiece(batch=batch, file_number=file_number, reader=reader)
    except DamagedFileError as error:
        yield DamagedPiece(error=error, file_number=file_number)


def lost(error: DamagedFileError, records: int = 1) -> Lost:
    """The loss that an error tells of."""
    return Lost(path=error.path, reason=error.reason, message=error.message, records=records)


def kept_or_reason(document: Document, minimum_words: int) -> Kept | LeftOut:
    """A document without key, or why it is left out."""
    words = len(document.text.split())
    if words < minimum_words or not words:
        reason = f"fewer than {minimum_words} words" if words else "no words"
        return LeftOut(key=None, version=1, reason=reason)
    return Kept(key=None, version=1, words=words, characters=len(document.text), line=document.to_json())
