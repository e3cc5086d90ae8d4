"""One long text file → batches of whole lines of about equal size, for workers to share one file among them."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError

BATCH_BYTES = 8 << 20
LONGEST_RECORD_BYTES = 256 << 20
READ_BYTES = 1 << 20
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LONGEST_MARK = 4
_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class LineBatch:
    """Whole lines of one file, in UTF-8; only the last line of the file may be without its newline."""

    path: Path
    number: int
    """Which batch of the file, from 0."""
    first_line: int
    """Number of its first line, from 1."""
    data: bytes
    compressed_bytes: int
    """How much of the file on disk was read for it."""

    @property
    def place(self) -> str:
        """What it is, for messages."""
        return f"{self.path}, from line {self.first_line:,} on"


def line_batches(path: Path, *, encoding: str = "", at_blank_lines: bool = False) -> Iterator[LineBatch]:
    """The content of a plain or compressed file in batches of `BATCH_BYTES`, cut behind a newline, in constant memory.

    Where it is cut depends on the content alone. With `at_blank_lines` it is cut behind a blank line only. A byte order mark
    tells the encoding and is taken away; without one it is `encoding`, or UTF-8, which is not checked here. Raises
    DamagedFileError for damage, for an empty file and for a record longer than `LONGEST_RECORD_BYTES`, after the lines
    that are whole before it.
    """
    number, first_line, reported = 0, 1, 0
    with DecompressedFile(path) as stream:
        waiting = _Waiting(path, _utf8(path, stream, encoding), at_blank_lines)
        while data := waiting.take(first_line):
            position = stream.compressed_position
            yield LineBatch(
                path=path,
                number=number,
                first_line=first_line,
                data=data,
                compressed_bytes=position - reported,
            )
            number, first_line, reported = number + 1, first_line + data.count(b"\n"), position
    if waiting.damage is not None:
        raise waiting.damage
    if number == 0:
        raise DamagedFileError(
            path, "empty", "expected text, found an empty file. Leave it out or make it again."
        )


class _Waiting:
    """What was read and not given out yet."""

    def __init__(self, path: Path, chunks: Iterator[bytes], at_blank_lines: bool) -> None:
        self._path = path
        self._chunks = chunks
        self._at_blank_lines = at_blank_lines
        self._data = b""
        self._more = True
        self.damage: DamagedFileError | None = None

    def take(self, first_line: int) -> bytes:
        """The next batch; empty at the end, or before `damage`."""
        wanted = BATCH_BYTES
        while True:
            self._read(wanted)
            end = self._end_of_batch()
            if not end and not self._more and self.damage is None:
                end = len(self._data)
            if end or not self._more:
                break
            if len(self._data) > LONGEST_RECORD_BYTES:
                self.damage = self._too_long(first_line)
                break
            wanted = min(2 * len(self._data), LONGEST_RECORD_BYTES + 1)
        data, self._data = self._data[:end], self._data[end:]
        return data

    def _read(self, wanted: int) -> None:
        parts, size = [self._data], len(self._data)
        try:
            while self._more and size < wanted:
                chunk = next(self._chunks, None)
                if chunk is None:
                    self._more = False
                else:
                    parts.append(chunk)
                    size += len(chunk)
        except DamagedFileError as error:
            self.damage, self._more = error, False
        self._data = b"".join(parts)

    def _end_of_batch(self) -> int:
        """The last place to cut in the first `BATCH_BYTES`, else the first behind; 0 when there is none yet."""
        if self._more or self.damage is not None or len(self._data) > BATCH_BYTES:
            if self._at_blank_lines:
                end = 0
                for match in _BLANK_LINE.finditer(self._data):
                    if match.end() > BATCH_BYTES and end:
                        break
                    end = match.end()
                return end
            end = self._data.rfind(b"\n", 0, BATCH_BYTES) + 1
            return end or self._data.find(b"\n", BATCH_BYTES) + 1
        return len(self._data)

    def _too_long(self, first_line: int) -> DamagedFileError:
        expected = "a blank line between documents" if self._at_blank_lines else "a line end"
        return DamagedFileError(
            self._path,
            "record too long",
            f"line {first_line}: expected {expected} at least every {LONGEST_RECORD_BYTES >> 20} MiB, found none. "
            "Split the file, or say how its documents are separated.",
        )


def _utf8(path: Path, stream: DecompressedFile, encoding: str) -> Iterator[bytes]:
    """The content in UTF-8 without byte order mark."""
    chunks = _chunks(stream)
    start = b""
    while len(start) < LONGEST_MARK and (chunk := next(chunks, b"")):
        start += chunk
    mark, marked = next(
        ((mark, name) for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), (b"", "")
    )
    encoding = marked or encoding or "utf-8"
    if encoding == "utf-8":
        yield start[len(mark) :]
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    position = len(mark)
    chunk = start[position:]
    while True:
        try:
            text = decoder.decode(chunk, final=not chunk)
            yield text.encode()
        except UnicodeError as error:
            raise DamagedFileError(
                path,
                "wrong encoding",
                f"between the bytes {position:,} and {position + len(chunk):,} of the content: expected text in {encoding}, "
                f"found: {getattr(error, 'reason', error)}. Give the right --encoding, or convert the file to UTF-8.",
            ) from error
        if not chunk:
            return
        position += len(chunk)
        chunk = next(chunks, b"")


def _chunks(stream: DecompressedFile) -> Iterator[bytes]:
    buffer = bytearray(READ_BYTES)
    view = memoryview(buffer)
    while count := stream.readinto(view):
        yield bytes(view[:count])
