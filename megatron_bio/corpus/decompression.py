"""Opens a file as the bytes inside it: plain, gzip, xz or zstd, told by the first bytes and never by the name."""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import zstandard
from isal import igzip_lib

from megatron_bio.corpus.errors import DamagedFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 16
MOST_CONTENT_BYTES = 1 << 22
"""What gzip and xz give at once."""
ZSTD_STEP_BYTES = 1 << 11
"""What zstd is given at once, since it cannot be told to stop: a block of at most 128 KiB takes 4 bytes or more, so at most
64 MiB come out."""
MAGIC_BYTES = 6
GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# The stubs of isal declare its error class as an instance.
DECOMPRESSION_ERRORS = (cast(type[Exception], igzip_lib.IsalError), lzma.LZMAError, zstandard.ZstdError)


class _Decompressor(Protocol):
    """The common part of isal's and lzma's decompressor objects; one object reads one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, /, max_length: int) -> bytes: ...


class _Member:
    """One gzip or xz member, read a bounded amount of content at a time."""

    def __init__(self, decompressor: _Decompressor) -> None:
        self._decompressor = decompressor

    @property
    def eof(self) -> bool:
        """Whether the end mark was read."""
        return self._decompressor.eof

    @property
    def has_more(self) -> bool:
        """Whether more content comes out without more input."""
        return not (self._decompressor.eof or self._decompressor.needs_input)

    def decompress(self, data: memoryview) -> tuple[bytes, memoryview]:
        """The next content, and what of `data` was not taken."""
        content = self._decompressor.decompress(data, max_length=MOST_CONTENT_BYTES)
        return content, memoryview(self._decompressor.unused_data if self.eof else b"")


class _ZstdMember:
    """One zstd frame, as `_Member`."""

    has_more = False

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()

    @property
    def eof(self) -> bool:
        return self._decompressor.eof

    def decompress(self, data: memoryview) -> tuple[bytes, memoryview]:
        content = self._decompressor.decompress(data[:ZSTD_STEP_BYTES])
        rest = data[ZSTD_STEP_BYTES:]
        return content, memoryview(self._decompressor.unused_data + bytes(rest)) if self.eof else rest


class DecompressedFile(io.RawIOBase):
    """The bytes inside a file, as a readable binary stream that needs constant memory.

    Several compressed members in one file are read as one stream, as gzip, xz and zstd do. Checksums are verified.
    Raises DamagedFileError with the byte position for a truncated or damaged file. `compressed_position` counts the
    bytes taken from disk so far.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file; raises DamagedFileError if it cannot be opened."""
        super().__init__()
        self._path = path
        self.compressed_position = 0
        self._produced = 0
        self._ready = memoryview(b"")
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DamagedFileError(
                path, "cannot be opened", f"cannot be opened: {error.strerror}."
            ) from error
        self._magic = self._file.peek(MAGIC_BYTES)[:MAGIC_BYTES]
        self._member = self._new_member()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always; needed by io.BufferedReader."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills at most `buffer` with the next bytes; 0 means the end of the content."""
        if not self._ready:
            self._ready = memoryview(self._next_content())
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def read_content(self) -> bytes:
        """The next bytes, as many as are at hand; b"" means the end. Saves the copies that `read` makes."""
        content = bytes(self._ready) or self._next_content()
        self._ready = memoryview(b"")
        return content

    def close(self) -> None:
        """Closes the underlying file."""
        self._file.close()
        super().close()

    def _new_member(self) -> _Member | _ZstdMember | None:
        if self._magic.startswith(GZIP_MAGIC):
            return _Member(igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP))
        if self._magic.startswith(XZ_MAGIC):
            return _Member(lzma.LZMADecompressor(format=lzma.FORMAT_XZ))
        if self._magic.startswith(ZSTD_MAGIC):
            return _ZstdMember()
        return None

    def _next_content(self) -> bytes:
        content = self._decompress() if self._member else b""
        while not content:
            chunk = self._read_chunk()
            if not chunk:
                self._check_complete()
                break
            self.compressed_position += len(chunk)
            self._rest = memoryview(chunk)
            content = self._decompress() if self._member else chunk
        self._produced += len(content)
        return content

    def _read_chunk(self) -> bytes:
        try:
            return self._file.read(CHUNK_BYTES)
        except OSError as error:
            raise DamagedFileError(
                self._path,
                "cannot be read",
                f"cannot be read on from byte {self.compressed_position:,}: {error.strerror}.",
            ) from error

    def _decompress(self) -> bytes:
        """What is in the rest of the chunk, or part of it when that is much; the rest that is left is for the next call."""
        parts, size = [], 0
        assert self._member is not None
        while size < MOST_CONTENT_BYTES and (self._rest or self._member.has_more):
            if self._member.eof:
                # gzip and xz both allow zero padding between and after members.
                self._rest = memoryview(bytes(self._rest).lstrip(b"\x00"))
                if not self._rest:
                    break
                self._member = self._new_member()
                assert self._member is not None
            try:
                content, self._rest = self._member.decompress(self._rest)
            except DECOMPRESSION_ERRORS as error:
                raise self._corrupt(str(error)) from error
            parts.append(content)
            size += len(content)
        return b"".join(parts)

    def _check_complete(self) -> None:
        if self._member is None or self._member.eof:
            return
        raise DamagedFileError(
            self._path,
            "truncated compression",
            f"expected the end mark of the compressed data, found the end of the file at byte "
            f"{self.compressed_position:,} ({self._produced:,} bytes of content before it). The file is truncated: "
            "download it again and compare its checksum.",
        )

    def _corrupt(self, detail: str) -> DamagedFileError:
        start = max(0, self.compressed_position - CHUNK_BYTES)
        return DamagedFileError(
            self._path,
            "damaged compression",
            f"expected valid compressed data, found damage between bytes {start:,} and {self.compressed_position:,} "
            f"of the file ({detail}). Download it again and compare its checksum.",
        )
