"""Opens a file as the bytes inside it: plain, gzip, xz or zstd, told by the first bytes and never by the name."""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import zstandard
from isal import igzip_lib, isal_zlib

from megatron_bio.corpus.errors import DamagedFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 16
MAGIC_BYTES = 6
GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CONTAINER_AND_MAXIMUM_WINDOW_BITS = 31
# The stubs of isal declare its error class as an instance.
DECOMPRESSION_ERRORS = (cast(type[Exception], igzip_lib.IsalError), lzma.LZMAError, zstandard.ZstdError)


class _Decompressor(Protocol):
    """The common part of isal's, lzma's and zstandard's decompressor objects; one object reads one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


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
        self._decompressor = self._new_decompressor()

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

    def _new_decompressor(self) -> _Decompressor | None:
        if self._magic.startswith(GZIP_MAGIC):
            return isal_zlib.decompressobj(wbits=CONTAINER_AND_MAXIMUM_WINDOW_BITS)
        if self._magic.startswith(XZ_MAGIC):
            return lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
        if self._magic.startswith(ZSTD_MAGIC):
            return zstandard.ZstdDecompressor().decompressobj()
        return None

    def _next_content(self) -> bytes:
        content = b""
        while not content:
            chunk = self._read_chunk()
            if not chunk:
                self._check_complete()
                break
            self.compressed_position += len(chunk)
            content = self._decompress(chunk)
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

    def _decompress(self, chunk: bytes) -> bytes:
        if self._decompressor is None:
            return chunk
        parts = []
        while chunk:
            if self._decompressor.eof:
                chunk = self._start_next_member(chunk)
                if not chunk:
                    break
            try:
                parts.append(self._decompressor.decompress(chunk))
            except DECOMPRESSION_ERRORS as error:
                raise self._corrupt(str(error)) from error
            chunk = self._decompressor.unused_data if self._decompressor.eof else b""
        return b"".join(parts)

    def _start_next_member(self, chunk: bytes) -> bytes:
        # gzip and xz both allow zero padding between and after members.
        chunk = chunk.lstrip(b"\x00")
        if chunk:
            self._decompressor = self._new_decompressor()
        return chunk

    def _check_complete(self) -> None:
        if self._decompressor is None or self._decompressor.eof:
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
