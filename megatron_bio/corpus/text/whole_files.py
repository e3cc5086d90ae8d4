"""Plain text in which every file is a document: many small files make one piece of input."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.line_pieces import kept_or_reason, lost
from megatron_bio.corpus.extraction.records import Record
from megatron_bio.corpus.line_batches import line_batches
from megatron_bio.corpus.text.lines import plain_text
from megatron_bio.corpus.work_folder import file_identity

MOST_FILES = 1_000
MOST_BYTES = 8 << 20
LARGEST_DOCUMENT_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class WholeFilesPiece:
    """Files with their ids; consecutive in the input."""

    files: tuple[tuple[Path, str], ...]
    first_number: int
    """Number of the first file among all inputs."""
    source: str
    minimum_words: int
    encoding: str

    @property
    def name(self) -> str:
        """As `Piece`."""
        return f"{self.first_number:06d}-files"

    @property
    def place(self) -> str:
        """As `Piece`."""
        return f"{self.files[0][0]} and {len(self.files) - 1} more files"

    @property
    def identity(self) -> object:
        """As `Piece`."""
        return [[identifier, *file_identity(path)] for path, identifier in self.files]

    @property
    def progress_bytes(self) -> int:
        """As `Piece`."""
        return sum(path.stat().st_size for path, _ in self.files)

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        for path, identifier in self.files:
            try:
                text = plain_text(path, "the file", self._content(path))
            except DamagedFileError as error:
                yield lost(error)
                continue
            document = Document(id=identifier, text=text, source=self.source)
            yield kept_or_reason(document, self.minimum_words)

    def _content(self, path: Path) -> bytes:
        content = bytearray()
        for batch in line_batches(path, encoding=self.encoding):
            content += batch.data
            if len(content) > LARGEST_DOCUMENT_BYTES:
                raise DamagedFileError(
                    path,
                    "document too long",
                    f"expected one document of at most {LARGEST_DOCUMENT_BYTES >> 20} MiB, found more. If the file holds "
                    "several documents, say what separates them with --document_separator blank-line or line.",
                )
        return bytes(content)


def is_full(files: list[tuple[Path, str]]) -> bool:
    """Whether these files are enough for one piece."""
    return len(files) >= MOST_FILES or sum(path.stat().st_size for path, _ in files) >= MOST_BYTES
