"""Opens a file as the bytes inside it: plain, gzip, bzip2, xz or zstd, told by the first bytes and never by the name."""

from __future__ import annotations

import bz2
import io
import lzma
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

import zstandard
from isal import igzip_lib

from megatron_bio.corpus.errors import DamagedFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 16
MOST_CONTENT_BYTES = 1 << 18
"""What gzip, bzip2 and xz give at once; with far more, the system must give new memory for each piece, which costs half of the
reading."""
ENOUGH_CONTENT_BYTES = 1 << 18
"""Content of small members is gathered up to this."""
ZSTD_STEP_BYTES = 1 << 11
"""What zstd is given at once, since it cannot be told to stop: a block of at most 128 KiB takes 4 bytes or more, so at most
64 MiB come out."""
MAGIC_BYTES = 6
GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"
BZIP2_MAGICS = tuple(b"BZh%d" % level + block for level in range(1, 10) for block in (b"1A", b"\x17r"))
"""Its first two bytes of a block, or of the end of an empty file, are looked at too: the others are letters."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE_MAGICS = tuple(bytes((0x50 + number,)) + b"\x2a\x4d\x18" for number in range(16))
"""Frames without content; pzstd begins a file with one."""
# The stubs of isal declare its error class as an instance; bz2 has no error of its own.
DECOMPRESSION_ERRORS = (
    cast(type[Exception], igzip_lib.IsalError),
    OSError,
    lzma.LZMAError,
    zstandard.ZstdError,
)

Compression = Literal["gzip", "bzip2", "xz", "zstd", ""]

CHECKSUM_BYTES: Final[Mapping[Compression, int]] = MappingProxyType({"gzip": 8, "zstd": 4})
"""What is at the end of a file. It is read by itself, so that a wrong one costs no content; in xz it is not at the
end, in bzip2 at no whole byte."""


def compression(start: bytes) -> Compression:
    """How content is compressed that begins with `start`, at least `MAGIC_BYTES` of it; "" for not at all."""
    if start.startswith(GZIP_MAGIC):
        return "gzip"
    if start.startswith(BZIP2_MAGICS):
        return "bzip2"
    if start.startswith(XZ_MAGIC):
        return "xz"
    return "zstd" if start.startswith((ZSTD_MAGIC, *ZSTD_SKIPPABLE_MAGICS)) else ""


class _Decompressor(Protocol):
    """The common part of the decompressor objects of isal, bz2 and lzma; one object reads one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, /, max_length: int) -> bytes: ...


class _Member:
    """One gzip, bzip2 or xz member, read a bounded amount of content at a time."""

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

    Several compressed members in one file are read as one stream, as gzip, bzip2, xz and zstd do. Checksums are verified.
    Raises DamagedFileError with the byte position for a truncated or damaged file, after the content before that place.
    `compressed_position` counts the bytes taken from disk so far.
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
        self._size = os.fstat(self._file.fileno()).st_size
        self._compression = compression(self._file.peek(MAGIC_BYTES))
        self._member = self._new_member()
        self._rest = memoryview(b"")
        self._end = b""
        self._failure: DamagedFileError | None = None

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
        if self._compression == "gzip":
            return _Member(igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP))
        if self._compression == "bzip2":
            return _Member(bz2.BZ2Decompressor())
        if self._compression == "xz":
            return _Member(lzma.LZMADecompressor(format=lzma.FORMAT_XZ))
        return _ZstdMember() if self._compression == "zstd" else None

    def _next_content(self) -> bytes:
        if self._member is None:
            return self._read_chunk()
        content = b""
        while not content:
            if self._failure is not None:
                raise self._failure
            if not self._rest and not self._member.has_more:
                self._rest = memoryview(self._read_chunk())
                if not self._rest:
                    self._check_complete(self._member)
                    break
            content = self._decompress(self._member)
        self._produced += len(content)
        return content

    def _read_chunk(self) -> bytes:
        """The next bytes of the file; a checksum at its end by itself."""
        chunk, self._end = self._end, b""
        if not chunk:
            try:
                chunk = self._file.read(CHUNK_BYTES)
            except OSError as error:
                raise DamagedFileError(
                    self._path,
                    "cannot be read",
                    f"cannot be read on from byte {self.compressed_position:,}: {error.strerror}.",
                ) from error
            end = CHECKSUM_BYTES.get(self._compression, 0)
            if end and self.compressed_position + len(chunk) >= self._size and len(chunk) > end:
                chunk, self._end = chunk[:-end], chunk[-end:]
        self.compressed_position += len(chunk)
        return chunk

    def _decompress(self, member: _Member | _ZstdMember) -> bytes:
        """Some of what is in the rest of the chunk; what of it is left, and damage behind what it gives, is for the next call."""
        parts: list[bytes] = []
        size = 0
        while size < ENOUGH_CONTENT_BYTES and (self._rest or member.has_more):
            try:
                if member.eof:
                    if not self._comes_member():
                        break
                    self._member = member = cast(_Member | _ZstdMember, self._new_member())
                content, self._rest = member.decompress(self._rest)
            except DECOMPRESSION_ERRORS as error:
                self._failure = self._corrupt(str(error))
                break
            parts.append(content)
            size += len(content)
        return b"".join(parts)

    def _comes_member(self) -> bool:
        """Whether another member begins in what is left; gzip and xz both allow zero padding between and after members."""
        rest = bytes(self._rest).lstrip(b"\x00")
        while 0 < len(rest) < MAGIC_BYTES and (more := self._read_chunk()):
            rest += more
        self._rest = memoryview(rest)
        if rest and compression(rest) != self._compression:
            self._failure = self._junk(self.compressed_position - len(rest))
        return bool(rest) and self._failure is None

    def _check_complete(self, member: _Member | _ZstdMember) -> None:
        if member.eof:
            return
        raise DamagedFileError(
            self._path,
            "truncated compression",
            f"expected the end mark of the compressed data, found the end of the file at byte "
            f"{self.compressed_position:,} ({self._produced:,} bytes of content before it). The file is truncated: "
            "download it again and compare its checksum.",
        )

    def _junk(self, position: int) -> DamagedFileError:
        return DamagedFileError(
            self._path,
            "bytes behind the compressed data",
            f"expected the end of the file at byte {position:,}, found bytes behind the end of the {self._compression} data, "
            "which is whole. If more data was joined to it, split it off; else cut the file there.",
        )

    def _corrupt(self, detail: str) -> DamagedFileError:
        # A checksum is the first to tell of most flipped bits, and says nothing of where they are.
        return DamagedFileError(
            self._path,
            "damaged compression",
            f"expected valid compressed data, found damage somewhere before byte {self.compressed_position:,} "
            f"of the file ({detail}). Download it again and compare its checksum.",
        )
