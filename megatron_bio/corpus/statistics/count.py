"""Counts documents files, several workers sharing even a single file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from megatron_bio.corpus.document import parse_document
from megatron_bio.corpus.line_batches import LineBatch, line_batches
from megatron_bio.corpus.progress import byte_progress
from megatron_bio.corpus.statistics.counts import Counts
from megatron_bio.corpus.statistics.inputs import DocumentsFile
from megatron_bio.corpus.workers import map_in_order


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Lines to count, as a `Task`."""

    lines: LineBatch
    split: str

    @property
    def place(self) -> str:
        """As `Task`."""
        return self.lines.place


@dataclass(frozen=True, kw_only=True)
class _Counted:
    counts: Counts
    compressed_bytes: int


def count_documents(files: Sequence[DocumentsFile], workers: int, progress: bool) -> Counts:
    """The counts of all files; memory does not grow with them. Raises CorpusError for damage and empty files."""
    counts = Counts()
    total = sum(file.path.stat().st_size for file in files)
    done = 0
    with byte_progress("counting", total, progress) as show:
        for part in map_in_order(_count, _batches(files), workers):
            counts.add(part.counts)
            done += part.compressed_bytes
            show(done)
    return counts


def _batches(files: Sequence[DocumentsFile]) -> Iterator[_Batch]:
    for file in files:
        for lines in line_batches(file.path):
            yield _Batch(lines=lines, split=file.split)


def _count(batch: _Batch) -> _Counted:
    counts = Counts()
    lines = batch.lines
    for number, line in enumerate(lines.data.split(b"\n"), start=lines.first_line):
        if line and not line.isspace():
            counts.add_document(parse_document(lines.path, number, line), batch.split)
    return _Counted(counts=counts, compressed_bytes=lines.compressed_bytes)
