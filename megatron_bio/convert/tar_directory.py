"""The members of a tar archive: files and folders, each once, none leading out of a folder.

The layout is that of POSIX ustar and pax, with GNU's long names and large sizes. Links, devices, sparse files, names that lead
out of a folder and sizes beyond the archive are refused before anything is read.
"""

from dataclasses import dataclass, replace

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.region import FileRegion

BLOCK = 512
_MOST_MEMBERS = 10_000
_LARGEST_EXTENSION = 1 << 16
_EXTENSIONS = (b"x", b"g", b"L")
_KINDS = {
    **{b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"},
    **{b"K": "a link with a long name", b"S": "a sparse file"},
}


@dataclass(frozen=True)
class _Header:
    name: bytes
    kind: bytes
    size: int


@dataclass(frozen=True)
class _Extended:
    """What headers before a member say of it."""

    name: bytes | None = None
    size: int | None = None


def read_tar_directory(region: FileRegion) -> dict[str, FileRegion]:
    """Return the files of a tar by name; raises `ConvertError` for everything that an archive of weights has no need of."""
    members: dict[str, FileRegion] = {}
    folders: set[str] = set()
    position, extended = 0, _Extended()
    while position + BLOCK <= region.size:
        block = region.read(position, BLOCK)
        if not any(block):
            return members
        header = _header(region, block, position)
        size = header.size if extended.size is None else extended.size
        if size > region.size - position - BLOCK:
            raise region.truncated(
                f"member {header.name[:80]!r} has {size:,} bytes from byte {position + BLOCK:,} on"
            )
        content = position + BLOCK
        position = content + (size + BLOCK - 1) // BLOCK * BLOCK
        if header.kind in _EXTENSIONS:
            extended = _extend(region, extended, header.kind, content, size)
            continue
        is_folder = header.kind == b"5"
        name = _checked_name(region, header.name if extended.name is None else extended.name, is_folder)
        extended = _Extended()
        if header.kind not in (b"0", b"\x00", b"5"):
            raise _wrong(region, f"member {name!r} is {_KINDS.get(header.kind, 'no file')}")
        if name in members or name in folders:
            raise _wrong(region, f"two members are named {name!r}")
        if is_folder:
            folders.add(name)
        else:
            members[name] = region.part(content, size, name)
        if len(members) + len(folders) > _MOST_MEMBERS:
            raise _wrong(region, f"it has more than {_MOST_MEMBERS:,} members")
    raise region.truncated("its end is missing: a tar ends with a block of zeros")


def _header(region: FileRegion, block: bytes, position: int) -> _Header:
    expected = _number(block[148:156])
    if expected != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise _wrong(region, f"the header at byte {position:,} is damaged")
    name, folder = _text(block[:100]), _text(block[345:500])
    if block[257:263] == b"ustar\0" and folder:
        name = folder + b"/" + name
    size = _number(block[124:136])
    if size is None:
        raise _wrong(region, f"the header at byte {position:,} has no size")
    return _Header(name, block[156:157], size)


def _number(field: bytes) -> int | None:
    """Octal digits, or GNU's number of base 256; None for anything else."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        return None
    return int(digits or b"0", 8)


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _extend(region: FileRegion, extended: _Extended, kind: bytes, start: int, size: int) -> _Extended:
    """Read a header that belongs to the member after it."""
    if size > _LARGEST_EXTENSION:
        raise _wrong(region, f"a header at byte {start:,} has {size:,} bytes")
    content = region.read(start, size)
    if kind == b"L":
        return replace(extended, name=_text(content))
    for key, value in _pax_records(region, content):
        if kind == b"g" and key not in (b"path", b"size"):
            continue
        if key == b"path":
            extended = replace(extended, name=value)
        elif key == b"size" and value.isdigit() and len(value) < 20:
            extended = replace(extended, size=int(value))
        elif key.startswith(b"GNU.sparse") or key == b"size":
            raise _wrong(region, f"a header at byte {start:,} says {key[:40]!r}")
    return extended


def _pax_records(region: FileRegion, content: bytes) -> list[tuple[bytes, bytes]]:
    """Records of "length key=value" and a newline, their length counted with all of it."""
    records = []
    while content:
        digits, _, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record = content[len(digits) + 1 : length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not 0 < length <= len(content) or not record.endswith(b"\n") or not equals:
            raise _wrong(region, "a pax header is damaged")
        records.append((key, value))
        content = content[length:]
    return records


def _checked_name(region: FileRegion, raw: bytes, is_folder: bool) -> str:
    """Return a name relative to the archive without "./"; the archive itself is the folder "." ."""
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise _wrong(region, f"a member has the name {raw[:80]!r}") from error
    parts = name.removesuffix("/").split("/") if is_folder else name.split("/")
    while len(parts) > 1 and parts[0] == ".":
        del parts[0]
    if is_folder and parts == ["."]:
        return "."
    if not name.isprintable() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise _wrong(region, f"a member has the name {name[:80]!r}, which leads out of a folder")
    return "/".join(parts)


def _wrong(region: FileRegion, found: str) -> ConvertError:
    return ConvertError(
        f"{region.name}: expected a tar archive of files and folders; {found}. The archive is damaged or was made to harm; compare "
        f"its checksum with the original."
    )
