"""The directory of a zip file: what zipfile writes is found where zipfile finds it, and what torch.save never writes is refused."""

import io
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.region import FileRegion
from megatron_bio.convert.torch_file.zip_directory import read_zip_directory

CONTENTS = {"data.pkl": b"pickle", "data/0": bytes(range(256)) * 3, "data/größe": b"", "version": b"3\n"}
END, DIRECTORY, LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"


def zip_of(contents: dict[str, bytes], folder: str = "archive/", **options: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in contents.items():
            archive.writestr(folder + name, content)
    return file.getvalue()


def region_of(folder: Path, content: bytes) -> FileRegion:
    path = folder / "weights.pt"
    path.write_bytes(content)
    return FileRegion.of_file(path)


def check_contents(folder: Path, content: bytes) -> None:
    region = region_of(folder, content)
    entries = read_zip_directory(region)
    assert {name: region.read(entry.start, entry.size) for name, entry in entries.items()} == CONTENTS
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        checksums = {info.filename.removeprefix("archive/"): info.CRC for info in archive.infolist()}
    assert {name: entry.checksum for name, entry in entries.items()} == checksums


def test_entries_are_found_also_before_a_comment(tmp_path: Path) -> None:
    plain = zip_of(CONTENTS)
    check_contents(tmp_path, plain)
    check_contents(tmp_path, plain[:-2] + struct.pack("<H", 7) + b"comment")


@pytest.mark.parametrize("limit", [0, 200, 10**6])
def test_positions_and_sizes_of_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """zipfile writes 64 bits for what is above a limit; files of the size that needs them are too large for a test."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    content = zip_of(CONTENTS)
    assert b"PK\x06\x06" in content and b"PK\x06\x07" in content
    assert (struct.pack("<2I", 0xFFFFFFFF, 0xFFFFFFFF) in content) == (limit < 1000)
    check_contents(tmp_path, content)


def replaced(signature: bytes, offset: int, value: bytes, which: int = 0) -> Callable[[], bytes]:
    """Overwrite a field behind the `which`-th occurrence of a signature."""

    def make() -> bytes:
        content = bytearray(zip_of(CONTENTS))
        place = [found.start() for found in re.finditer(re.escape(signature), content)][which] + offset
        content[place : place + len(value)] = value
        return bytes(content)

    return make


def twice() -> bytes:
    content = zip_of({"data/0": b"a", "data/1": b"b"})
    return content.replace(b"data/1", b"data/0")


def more_behind_the_directory() -> bytes:
    content = bytearray(zip_of(CONTENTS))
    at = content.rindex(END)
    size = struct.unpack_from("<I", content, at + 12)[0]
    struct.pack_into("<I", content, at + 12, size + 4)
    return bytes(content[:at] + b"more" + content[at:])


FULL = b"\xff\xff\xff\xff"
REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no end": ("the directory at the end of the file is missing", lambda: zip_of(CONTENTS)[:-22]),
    "cut in the end": ("the directory at the end of the file is missing", lambda: zip_of(CONTENTS)[:-1]),
    "second disk": ("one of several parts", replaced(END, 4, b"\x01\0")),
    "other count here": ("one of several parts", replaced(END, 8, b"\x01\0")),
    "large": (r"in a directory of 4,278,190,080 bytes", replaced(END, 12, b"\0\0\0\xff")),
    "elsewhere": (r"the directory lies at bytes 1 to", replaced(END, 16, b"\x01\0\0\0")),
    "more entries": (r"ends before its 5 entries", replaced(END, 8, b"\x05\0\x05\0")),
    "fewer entries": (r"bytes after its last entry", replaced(END, 8, b"\x03\0\x03\0")),
    "more bytes": ("4 bytes after its last entry", more_behind_the_directory),
    "signature": ("an entry of the directory is damaged", replaced(DIRECTORY, 0, b"PK\x01\x03")),
    "long name": ("an entry of the directory is damaged", replaced(DIRECTORY, 28, b"\xff\xff")),
    "encrypted": ("'archive/data.pkl' is encrypted", replaced(DIRECTORY, 8, b"\x01\0")),
    "compressed": ("is compressed", lambda: zip_of(CONTENTS, compression=zipfile.ZIP_DEFLATED)),
    "two sizes": ("is compressed", replaced(DIRECTORY, 20, b"\x01\0\0\0")),
    "no 64 bits": ("has no 64-bit size", replaced(DIRECTORY, 24, FULL)),
    "two": ("two entries are named 'archive/data/0'", twice),
    "overlap": ("'archive/data/0' begins at byte 8, within", replaced(DIRECTORY, 42, b"\x08\0\0\0", 1)),
    "not there": ("'archive/data.pkl' is not at byte 3", replaced(DIRECTORY, 42, b"\x03\0\0\0")),
    "other name there": ("is not at byte 0", replaced(LOCAL, 30, b"b")),
    "beyond": ("beyond the directory", replaced(DIRECTORY, 20, b"\xff\xff\xff\0\xff\xff\xff\0", 3)),
    "name": ("has the name", replaced(DIRECTORY, 46, b"\xff\xfe")),
    "parent": ("leads out of a folder", lambda: zip_of(CONTENTS, "archive/../")),
    "absolute": ("leads out of a folder", lambda: zip_of({"x": b""}, "/archive/")),
    "backslash": ("leads out of a folder", lambda: zip_of({"x\\y": b""})),
    "two folders": ("lie in 2 folders", lambda: zip_of({"a/x": b"", "b/x": b""}, "")),
    "no folder": ("lie in 1 folders", lambda: zip_of({"x": b""}, "")),
    "nothing": ("lie in 0 folders", lambda: zip_of({})),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    message, content = REFUSED[name]
    with pytest.raises(ConvertError, match=rf"weights\.pt: .*{message}"):
        read_zip_directory(region_of(tmp_path, content()))


@pytest.mark.parametrize(
    ("signature", "offset", "message"),
    [
        (b"PK\x06\x07", 8, "the end of the directory is not at byte"),
        (b"PK\x06\x06", 48, "the directory lies"),
    ],
)
def test_a_directory_of_64_bits_that_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signature: bytes, offset: int, message: str
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 0)
    content = bytearray(zip_of(CONTENTS))
    content[content.rindex(signature) + offset] ^= 1
    with pytest.raises(ConvertError, match=message):
        read_zip_directory(region_of(tmp_path, bytes(content)))
