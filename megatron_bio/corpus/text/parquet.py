"""Parquet: which columns and row groups a file has, and the documents of one row group, a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.extraction.line_pieces import DamagedPiece, lost
from megatron_bio.corpus.extraction.records import Lost, Piece, Record
from megatron_bio.corpus.text.fields import DocumentKeys, bad_record
from megatron_bio.corpus.work_folder import file_identity

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch
    from pyarrow.parquet import ParquetFile

BATCH_BYTES = 4 << 20
FEWEST_ROWS = 16
MOST_ROWS = 4096
READ_BYTES = 1 << 20
OPTIONAL_COLUMNS = frozenset({"title", "id"})
"""The default names of title and id, which a file need not have."""
INSTALL = "pip install 'megatron-bio[corpus]'"


@dataclass(frozen=True, kw_only=True)
class RowGroupPiece:
    """One row group, as a piece of input."""

    path: Path
    file_number: int
    group: int
    first_row: int
    """Number of its first row in the file, from 1."""
    rows: int
    columns: tuple[str, ...]
    batch_rows: int
    progress_bytes: int
    keys: DocumentKeys
    file_id: str

    @property
    def name(self) -> str:
        """As `Piece`."""
        return f"{self.file_number:06d}-{self.group:06d}"

    @property
    def place(self) -> str:
        """As `Piece`."""
        return f"{self.path}, row group {self.group}"

    @property
    def identity(self) -> object:
        """As `Piece`."""
        return [self.file_id, *file_identity(self.path), self.group]

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        done = 0
        try:
            with _opened(self.path, f"row group {self.group}") as file:
                batches = file.iter_batches(
                    self.batch_rows, row_groups=[self.group], columns=list(self.columns)
                )
                for batch in batches:
                    for row in _rows(batch):
                        done += 1
                        yield self._record(self.first_row + done - 1, row)
        except DamagedFileError as error:
            yield Lost(
                path=error.path, reason=error.reason, message=error.message, records=max(0, self.rows - done)
            )

    def _record(self, number: int, row: dict[str, object] | ValueError) -> Record:
        try:
            if isinstance(row, ValueError):
                raise bad_record(
                    self.path, number, f"expected values that can be read, found: {row}"
                ) from row
            return self.keys.record(self.path, number, row, self.file_id)
        except DamagedFileError as error:
            return lost(error)


def parquet_pieces(path: Path, file_number: int, keys: DocumentKeys, file_id: str) -> Iterator[Piece]:
    """The row groups of a file, or where its directory of them cannot be read a `DamagedPiece`.

    Raises CorpusError for a column that the file does not have, or that holds no text, with those that it has.
    """
    try:
        with _opened(path, "the footer") as file:
            columns = _columns(path, file, keys)
            groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    except DamagedFileError as error:
        yield DamagedPiece(error=error, file_number=file_number)
        return
    first_row = 1
    for group, metadata in enumerate(groups):
        rows = metadata.num_rows
        # The size of all columns is more than is read. That of each one is not asked for: pyarrow ends the whole process
        # when its description is damaged.
        batch_rows = rows * BATCH_BYTES // max(1, metadata.total_byte_size)
        yield RowGroupPiece(
            path=path,
            file_number=file_number,
            group=group,
            first_row=first_row,
            rows=rows,
            columns=columns,
            batch_rows=max(FEWEST_ROWS, min(MOST_ROWS, batch_rows)),
            progress_bytes=path.stat().st_size // len(groups),
            keys=keys,
            file_id=file_id,
        )
        first_row += rows


@contextmanager
def _opened(path: Path, place: str) -> Iterator[ParquetFile]:
    """The file, read through a small buffer; what pyarrow finds wrong while it is open is a DamagedFileError."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise CorpusError(
            f"{path}: is Parquet, which needs pyarrow to be read, but that is not installed. Install it: {INSTALL}"
        ) from error
    try:
        with ParquetFile(
            path, buffer_size=READ_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as file:
            yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise DamagedFileError(
            path,
            "damaged Parquet",
            f"{place}: expected readable Parquet, found: {' '.join(str(error).split())}. Copy the file again and compare its "
            "checksum, or write it again.",
        ) from error


def _columns(path: Path, file: ParquetFile, keys: DocumentKeys) -> tuple[str, ...]:
    """The columns to read, each once."""
    found = []
    for key in dict.fromkeys(keys.all()):
        kind = _type_of(file, key)
        if kind is None:
            if key in OPTIONAL_COLUMNS and key in (keys.title, keys.id) and key != keys.text:
                continue
            raise CorpusError(
                f"{path}: expected a column '{key}', found the columns {', '.join(file.schema_arrow.names)}. "
                "Name the columns to use with --text_key, --title_key, --id_key and --meta_keys."
            )
        if key in (keys.text, keys.title) and not _holds_text(kind):
            raise CorpusError(
                f"{path}: expected text in the column '{key}', found values of type {kind}. Name another column with "
                "--text_key or --title_key."
            )
        found.append(key)
    return tuple(found)


def _type_of(file: ParquetFile, key: str) -> DataType | None:
    """The type of a column, or of a field inside one; None where there is none."""
    from pyarrow import struct
    from pyarrow.types import is_struct

    columns = file.schema_arrow
    kind: DataType = struct(list(columns))
    for part in [key] if key in columns.names else key.split("."):
        index = kind.get_field_index(part) if is_struct(kind) else -1
        if index < 0:
            return None
        kind = kind.field(index).type
    return kind


def _holds_text(kind: DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    return any(test(kind) for test in (*tests, types.is_binary, types.is_large_binary, types.is_binary_view))


def _rows(batch: RecordBatch) -> Iterator[dict[str, object] | ValueError]:
    """The rows as Python values; for a row with a value that Python cannot have, the error."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except (ValueError, OverflowError) as error:
                yield ValueError(str(error))
