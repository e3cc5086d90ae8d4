"""What a file is: told by its first bytes, never by its name."""

import re
from pathlib import Path
from typing import Literal

from megatron_bio.corpus.decompression import MAGIC_BYTES, DecompressedFile, compression
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.line_batches import BYTE_ORDER_MARKS

Format = Literal["jsonl", "text", "parquet"]
START_BYTES = 1 << 14
PARQUET_MAGIC = b"PAR1"
ENCRYPTED_PARQUET_MAGIC = b"PARE"
_JSON_ARRAY = re.compile(rb"\s*\[\s*\{")
_FOREIGN = (
    (0, b"PK\x03\x04", "a zip archive", "Unpack it and give the files in it"),
    (257, b"ustar", "a tar archive", "Unpack it and give the files in it"),
    (0, b"ARROW1", "an Arrow file (Feather)", "Write it as Parquet"),
    (0, b"ORC", "an ORC file", "Write it as Parquet"),
    (0, b"%PDF", "a PDF", "Extract its text first"),
    (0, ENCRYPTED_PARQUET_MAGIC, "an encrypted Parquet file", "Write it without encryption"),
    (0, b"\x89HDF", "an HDF5 file", "Write its texts as JSONL or Parquet"),
    (0, b"SQLite format 3", "an SQLite database", "Write its texts as JSONL or Parquet"),
)


def recognise(path: Path, encoding: str = "") -> Format:
    """What the file holds; raises DamagedFileError for what no reader of texts understands, with what to do instead.

    A file whose first character is a brace is JSONL; everything else that is text is plain text.
    """
    with DecompressedFile(path) as stream:
        start = b""
        while len(start) < START_BYTES and (chunk := stream.read(START_BYTES - len(start))):
            start += chunk
    if start.startswith(PARQUET_MAGIC):
        if is_compressed(path):
            raise _wrong(
                path, "compressed Parquet", "a Parquet file inside another compression", "Decompress it"
            )
        return "parquet"
    for offset, magic, name, remedy in _FOREIGN:
        if start[offset:].startswith(magic):
            raise _wrong(path, "not text", name, remedy)
    if _JSON_ARRAY.match(start):
        remedy = "Write one object per line, for example with jq -c '.[]'"
        raise _wrong(path, "JSON array", "one JSON array of objects", remedy)
    mark = next((mark for mark, _ in BYTE_ORDER_MARKS if start.startswith(mark)), b"")
    if b"\x00" in start and not encoding and len(mark) in (0, 3):
        raise _wrong(
            path,
            "not text",
            f"a NUL byte at byte {start.index(0):,}",
            "If it is text in UTF-16, say so with --encoding utf-16-le or utf-16-be; leave out binary files",
        )
    characters = start.removeprefix(mark).replace(b"\x00", b"")
    return "jsonl" if characters.lstrip().startswith(b"{") else "text"


def is_compressed(path: Path) -> bool:
    """Whether the file on disk is gzip, bzip2, xz or zstd."""
    with path.open("rb") as file:
        return compression(file.read(MAGIC_BYTES)) != ""


def _wrong(path: Path, reason: str, found: str, remedy: str) -> DamagedFileError:
    return DamagedFileError(path, reason, f"expected JSONL, Parquet or plain text, found {found}. {remedy}.")
