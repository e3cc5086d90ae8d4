"""Documents of a first pass, held compressed in a nameless temporary file until it is known which of them count."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import zstandard

from megatron_bio.corpus.errors import CorpusError

FASTEST_LEVEL = 1
READ_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class SpooledDocument:
    """A line of a documents file with what the second pass asks about it."""

    position: int
    pmid: int
    words: int
    characters: int
    line: bytes


class DocumentSpool:
    """Append-only store on disk, one zstd frame per input file, so that a damaged file can be taken back whole.

    The temporary file has no name: it disappears with the process, whatever ends it. Not for use from several threads.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` should be on the disk of the output, which needs about the same space again."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise CorpusError(
                f"{folder}: expected a folder to write in, found: {error.strerror}. Give another --output."
            ) from error
        self._folder = folder
        self._compressor = zstandard.ZstdCompressor(level=FASTEST_LEVEL)
        self._frame_start = 0
        self._frame: zstandard.ZstdCompressionWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if isinstance(error, OSError):
            raise CorpusError(
                f"{self._folder}: cannot hold the temporary documents: {error.strerror}. Free space there, about as much "
                "as the output needs once more, or give another --output."
            ) from error

    def append(self, document: SpooledDocument) -> None:
        """Adds to the frame of the present input file."""
        if self._frame is None:
            self._frame = self._compressor.stream_writer(self._file, closefd=False)
        head = f"{document.position} {document.pmid} {document.words} {document.characters} "
        self._frame.write(head.encode() + document.line + b"\n")

    def keep_file(self) -> None:
        """The present input file was read to its end: its documents stay."""
        self._end_frame()
        self._frame_start = self._file.tell()

    def drop_file(self) -> None:
        """Takes back all documents of the present input file."""
        self._end_frame()
        self._file.seek(self._frame_start)
        self._file.truncate()

    def _end_frame(self) -> None:
        if self._frame is not None:
            self._frame.flush(zstandard.FLUSH_FRAME)
            self._frame = None

    def __iter__(self) -> Iterator[SpooledDocument]:
        """All documents in the order of appending; nothing may be appended afterwards."""
        self._file.seek(0)
        rest = b""
        with zstandard.ZstdDecompressor().stream_reader(
            self._file, read_across_frames=True, closefd=False
        ) as stream:
            while block := stream.read(READ_BUFFER_BYTES):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    position, pmid, words, characters, content = line.split(b" ", 4)
                    yield SpooledDocument(
                        position=int(position),
                        pmid=int(pmid),
                        words=int(words),
                        characters=int(characters),
                        line=content,
                    )
