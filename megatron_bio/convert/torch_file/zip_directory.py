"""The entries of a zip file as torch.save writes it: stored, not compressed, each name once, none over another.

The layout is that of PKWARE's APPNOTE, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.region import FileRegion

MAGIC = b"PK\x03\x04"
_END, _END_64, _LOCATOR_64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_ENTRY, _LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
_LONGEST_COMMENT = 65_535
_MOST_ENTRIES = 1_000_000
_LARGEST_DIRECTORY = 1 << 27
_FULL_32 = 0xFFFFFFFF


@dataclass(frozen=True)
class ZipEntry:
    """Where the content of one entry lies, in bytes from the start of the region."""

    name: str
    start: int
    size: int
    checksum: int
    """CRC-32 of the content as the directory tells it."""


def read_zip_directory(region: FileRegion) -> dict[str, ZipEntry]:
    """Return the entries by name, without the folder that all of them lie in.

    Raises `ConvertError` for a directory that is damaged, and for what torch.save never writes: compression, encryption, two
    entries of one name, entries that overlap, names that lead out of a folder.
    """
    start, size, count = _find_directory(region)
    headers = list(_headers(region, region.read(start, size), count))
    entries: dict[str, ZipEntry] = {}
    end = 0
    for name, content_size, checksum, local in sorted(headers, key=lambda header: header[3]):
        if local < end:
            raise _wrong(region, f"entry {name!r} begins at byte {local:,}, within the entry before it")
        content = _content_start(region, name, local)
        end = content + content_size
        if end > start:
            raise _wrong(region, f"entry {name!r} goes on to byte {end:,}, beyond the directory at {start:,}")
        entries[name] = ZipEntry(name, content, content_size, checksum)
    return _without_folder(region, entries)


def _find_directory(region: FileRegion) -> tuple[int, int, int]:
    tail_size = min(region.size, _END.size + _LONGEST_COMMENT)
    tail = region.read(region.size - tail_size, tail_size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > tail_size:
        raise _wrong(region, "the directory at the end of the file is missing")
    end = region.size - tail_size + at
    _, disk, directory_disk, here, count, size, start, _ = _END.unpack_from(tail, at)
    if end >= _LOCATOR_64.size and region.read(end - _LOCATOR_64.size, 4) == b"PK\x06\x07":
        _, _, record, _ = _LOCATOR_64.unpack(region.read(end - _LOCATOR_64.size, _LOCATOR_64.size))
        fields = _END_64.unpack(region.read(record, _END_64.size))
        if fields[0] != b"PK\x06\x06":
            raise _wrong(region, f"the end of the directory is not at byte {record:,}")
        *_, disk, directory_disk, here, count, size, start = fields
        end = record
    if disk or directory_disk or here != count:
        raise _wrong(region, "it is one of several parts")
    if count > _MOST_ENTRIES or size > _LARGEST_DIRECTORY:
        raise _wrong(region, f"it has {count:,} entries in a directory of {size:,} bytes")
    if start + size != end:
        raise _wrong(
            region, f"the directory lies at bytes {start:,} to {start + size:,}, but ends at {end:,}"
        )
    return start, size, count


def _headers(region: FileRegion, directory: bytes, count: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, size, checksum and position of the local header."""
    at = 0
    names: set[str] = set()
    for _ in range(count):
        if at + _ENTRY.size > len(directory):
            raise _wrong(region, f"the directory ends before its {count:,} entries")
        fields = _ENTRY.unpack_from(directory, at)
        signature, _, _, flags, method, _, _, checksum, stored, size, name_size, extra_size, comment_size = (
            fields[:13]
        )
        local = fields[-1]
        at += _ENTRY.size
        raw_name, extra = (
            directory[at : at + name_size],
            directory[at + name_size : at + name_size + extra_size],
        )
        at += name_size + extra_size + comment_size
        if signature != b"PK\x01\x02" or at > len(directory):
            raise _wrong(region, "an entry of the directory is damaged")
        name = _checked_name(region, raw_name)
        if flags & 0x2041:
            raise _wrong(region, f"entry {name!r} is encrypted")
        size, stored, local = _wide(region, name, extra, size, stored, local)
        if method or size != stored:
            raise _wrong(region, f"entry {name!r} is compressed; torch.save compresses nothing")
        if name in names:
            raise _wrong(region, f"two entries are named {name!r}")
        names.add(name)
        yield name, size, checksum, local
    if at != len(directory):
        raise _wrong(region, f"the directory has {len(directory) - at:,} bytes after its last entry")


def _wide(region: FileRegion, name: str, extra: bytes, *values: int) -> list[int]:
    """Replace each 32-bit value that is full by its 64-bit one from the extra field."""
    wide = b""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + size]
        at += 4 + size
    result = []
    for value in values:
        if value == _FULL_32:
            if len(wide) < 8:
                raise _wrong(region, f"entry {name!r} has no 64-bit size")
            (value,), wide = struct.unpack_from("<Q", wide), wide[8:]
        result.append(value)
    return result


def _content_start(region: FileRegion, name: str, local: int) -> int:
    signature, *_, name_size, extra_size = _LOCAL.unpack(region.read(local, _LOCAL.size))
    if signature != MAGIC or region.read(local + _LOCAL.size, name_size) != name.encode():
        raise _wrong(region, f"entry {name!r} is not at byte {local:,}")
    return local + _LOCAL.size + name_size + extra_size


def _checked_name(region: FileRegion, raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise _wrong(region, f"an entry has the name {raw[:80]!r}") from error
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise _wrong(region, f"an entry has the name {name[:80]!r}, which leads out of a folder")
    return name


def _without_folder(region: FileRegion, entries: dict[str, ZipEntry]) -> dict[str, ZipEntry]:
    folders = {name.split("/")[0] for name in entries}
    if len(folders) != 1 or any("/" not in name for name in entries):
        raise _wrong(region, f"its entries lie in {len(folders):,} folders, not in one")
    (folder,) = folders
    return {name.removeprefix(f"{folder}/"): entry for name, entry in entries.items()}


def _wrong(region: FileRegion, found: str) -> ConvertError:
    return ConvertError(
        f"{region.name}: expected a zip file as torch.save writes it; {found}. The file is damaged or was made by another "
        f"program; compare its checksum with the original, or save it again with torch.save."
    )
