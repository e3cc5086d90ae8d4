"""A tar package → the content of its articles, one after the other; nothing is ever written to disk.

A reader of its own, because the standard library's takes a damaged header for the end of the archive, holds headers
of any size in memory, and cannot say where the damage is. Formats: POSIX ustar and pax, GNU long names.
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_06
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import LeftOut, Lost

BLOCK_BYTES: Final = 512
READ_BUFFER_BYTES: Final = 1 << 20
MAXIMUM_ARTICLE_BYTES: Final = 256 << 20
MAXIMUM_HEADER_BYTES: Final = 1 << 20

NOT_XML = "archive member that is no XML"
LINK = "link in the archive"
SPECIAL = "archive member that is no file"
UNSAFE_NAME = "archive member with an unsafe name"
TOO_LARGE = "article of more than 256 MB"

_FILE_TYPES = frozenset(b"0\x007")
_LINK_TYPES = frozenset(b"12")
_FOLDER_TYPE = ord("5")
_WITHOUT_CONTENT = frozenset(b"123456")
_EXTRA_HEADERS = frozenset(b"LKxg")
_OCTAL = re.compile(rb"[ \x00]*([0-7]+)[ \x00]*")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package: its name, made printable, and its content."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    size: int
    kind: int


class _Ended(Exception):  # noqa: N818 - no error by itself: what it means depends on where the content ended
    """The content ended in the middle of something."""


def is_package(path: Path) -> bool:
    """Whether the content, plain or compressed, starts with the header of a tar archive."""
    try:
        with DecompressedFile(path) as raw, io.BufferedReader(raw, BLOCK_BYTES) as stream:
            return _header(stream.read(BLOCK_BYTES)) is not None
    except DamagedFileError:
        return False


class Package:
    """The members of one tar archive, plain or compressed; `compressed_position` counts the bytes read from disk."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before it is read."""
        self._path = path
        self._position = 0
        self._member = ""
        self._raw: DecompressedFile | None = None

    @property
    def compressed_position(self) -> int:
        """Bytes of the file that were read so far."""
        return self._raw.compressed_position if self._raw is not None else 0

    def members(self) -> Iterator[Member | LeftOut | Lost]:
        """The XML files in their order; what is passed over, and damage, as records to count.

        Of damage inside the archive the rest is read, as far as headers are found; damage of the compression ends it.
        """
        try:
            self._raw = DecompressedFile(self._path)
            with self._raw, io.BufferedReader(self._raw, READ_BUFFER_BYTES) as stream:
                yield from self._members(stream)
        except DamagedFileError as error:
            where = f"in member {self._member} " if self._member else ""
            yield Lost(
                path=self._path,
                reason=error.reason,
                message=f"{where}at byte {self._position:,} of the unpacked archive: {error.message}",
                records=int(bool(self._member)),
            )

    def _members(self, stream: BinaryIO) -> Iterator[Member | LeftOut | Lost]:
        long_name: bytes | None = None
        long_size: int | None = None
        ended = False
        damaged_from: int | None = None
        while block := self._read_up_to(stream, BLOCK_BYTES):
            header = _header(block)
            ended = not block.strip(b"\x00")
            if damaged_from is not None and (header is not None or ended):
                yield self._damage(damaged_from, self._position - len(block))
                damaged_from = None
            if ended:
                continue
            if header is None:
                damaged_from = self._position - len(block) if damaged_from is None else damaged_from
                long_name = long_size = None
                continue
            name = header.name if long_name is None else long_name
            size = header.size if long_size is None else long_size
            self._member = _printable(name)
            try:
                if header.kind in _EXTRA_HEADERS:
                    content = self._extra_header(stream, header.size)
                    if header.kind == ord("L"):
                        long_name = content.rstrip(b"\x00")
                    elif header.kind == ord("x"):
                        long_name, long_size = _pax(content)
                    continue
                yield from self._file(stream, header.kind, name, size)
            except _Ended:
                yield self._cut_short(size)
                return
            long_name = long_size = None
            self._member = ""
        self._member = ""
        if damaged_from is not None:
            yield self._damage(damaged_from, self._position)
        elif not ended:
            yield self._lost(
                self._position,
                "truncated archive",
                "expected the empty blocks that end an archive, found the end of the file. Members may be missing: download "
                "it again and compare its checksum.",
            )

    def _file(self, stream: BinaryIO, kind: int, name: bytes, size: int) -> Iterator[Member | LeftOut]:
        reason = _why_not(kind, name, size)
        if reason is None:
            content = self._read_exactly(stream, size)
            self._skip(stream, -size % BLOCK_BYTES)
            yield Member(self._member, content)
            return
        if kind not in _WITHOUT_CONTENT:
            self._skip(stream, size + -size % BLOCK_BYTES)
        if kind != _FOLDER_TYPE:
            yield LeftOut(key=None, version=1, reason=reason)

    def _extra_header(self, stream: BinaryIO, size: int) -> bytes:
        if size > MAXIMUM_HEADER_BYTES:
            self._skip(stream, size + -size % BLOCK_BYTES)
            return b""
        content = self._read_exactly(stream, size)
        self._skip(stream, -size % BLOCK_BYTES)
        return content

    def _read_up_to(self, stream: BinaryIO, size: int) -> bytes:
        content = stream.read(size)
        self._position += len(content)
        return content

    def _read_exactly(self, stream: BinaryIO, size: int) -> bytes:
        parts = []
        while size:
            part = self._read_up_to(stream, min(size, READ_BUFFER_BYTES))
            if not part:
                raise _Ended
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _skip(self, stream: BinaryIO, size: int) -> None:
        while size:
            part = self._read_up_to(stream, min(size, READ_BUFFER_BYTES))
            if not part:
                raise _Ended
            size -= len(part)

    def _damage(self, start: int, end: int) -> Lost:
        return self._lost(
            start,
            "damaged archive",
            f"expected the header of a member, found something else up to byte {end:,}. What follows is read, if there is "
            "anything; download the file again and compare its checksum.",
        )

    def _cut_short(self, size: int) -> Lost:
        return self._lost(
            self._position,
            "archive member cut short",
            f"expected {size:,} bytes of member {self._member}, found the end of the file. Download it again and compare "
            "its checksum.",
            records=1,
        )

    def _lost(self, position: int, reason: str, story: str, records: int = 0) -> Lost:
        message = f"byte {position:,} of the unpacked archive: {story}"
        return Lost(path=self._path, reason=reason, message=message, records=records)


def _why_not(kind: int, name: bytes, size: int) -> str | None:
    """The reason to pass a member over; None for an article."""
    if kind in _LINK_TYPES:
        return LINK
    if kind not in _FILE_TYPES:
        return SPECIAL
    path = PurePosixPath(_printable(name).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)):
        return UNSAFE_NAME
    # `._NAME` is what a Mac adds to describe NAME.
    if path.suffix.lower() not in (".xml", ".nxml") or path.name.startswith("._"):
        return NOT_XML
    return TOO_LARGE if size > MAXIMUM_ARTICLE_BYTES else None


def _header(block: bytes) -> _Header | None:
    """None for what is no header: too short, or its checksum is wrong."""
    if len(block) < BLOCK_BYTES:
        return None
    checksum = _number(block[148:156])
    if checksum is None or checksum != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        return None
    size = _number(block[124:136])
    if size is None:
        return None
    name = block[:100].partition(b"\x00")[0]
    if block[257:263] == b"ustar\x00" and (prefix := block[345:500].partition(b"\x00")[0]):
        name = prefix + b"/" + name
    kind = block[156]
    return _Header(name=name, size=size, kind=_FOLDER_TYPE if kind == 0 and name.endswith(b"/") else kind)


def _number(field: bytes) -> int | None:
    """Octal digits, or GNU's binary form with the first bit set; an empty field is 0."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if not field.strip(b" \x00"):
        return 0
    match = _OCTAL.fullmatch(field.partition(b"\x00")[0])
    return int(match[1], 8) if match else None


def _pax(content: bytes) -> tuple[bytes | None, int | None]:
    """Name and size in a pax header, `LENGTH KEY=VALUE\\n` each; None for what it does not say."""
    name: bytes | None = None
    size: int | None = None
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length[:9]) <= len(content):
            break
        record, content = content[len(length) + 1 : int(length[:9])], content[int(length[:9]) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"path":
            name = value
        elif key == b"size" and value.isdigit() and len(value) < 20:
            size = int(value)
    return name, size


def _printable(name: bytes) -> str:
    text = name.decode("utf-8", errors="replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
