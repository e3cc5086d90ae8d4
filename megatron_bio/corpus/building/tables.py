"""What is kept of each document in numbers: where the files of a part are and what their columns mean.

A part is a folder with these files; `counts.json`, written last, vouches for the others.

* `documents.npy` [documents] of `DOCUMENT`;
* `KIND.keys`: what equal documents have in common, as `Keys`, in one table or, of kind "bands", in one for each band;
* `signatures` [documents, PERMUTATIONS] uint32;
* `ids.zst`, `lines-SPLIT.zst`, `dropped.zst`: lines of text.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import ArrayLike, NDArray

from megatron_bio.corpus.atomic_file import atomic_file

Table = np.ndarray[Any, np.dtype[np.void]]

DOCUMENT: Final = np.dtype(
    [
        ("digest_low", "<u8"),  # the second half of the 128 bits; the first is the key in text.keys
        ("words", "<u4"),  # separated by white space
        ("plain_words", "<u4"),  # as the hashes see them: only letters and digits
        ("characters", "<u4"),
        ("line_bytes", "<u4"),
        ("source", "<u4"),  # its number in the part's list of sources
        ("split", "u1"),
        ("article", "?"),
    ]
)
TEXT, RECORD, SENTENCES, BANDS = "text", "record", "sentences", "bands"
PMID, PMCID, ABSTRACT, OTHER_ID = "pmid", "pmcid", "abstract", "other-id"
SIGNATURES = "signatures"
PERMUTATIONS = 128
"""Numbers in a MinHash signature."""
KEY_BYTES = 16
FASTEST_LEVEL = 1
READ_BUFFER_BYTES = 1 << 20
SMALL_BYTES = 4096


@dataclass(frozen=True)
class Keys:
    """A table of keys in the order of `keys`, then `documents`; three columns, 16 bytes a key."""

    keys: NDArray[np.uint64]
    documents: NDArray[np.uint32]
    """The number of the document in its part."""
    words: NDArray[np.uint32]
    """How many words the sentence has; 0 for other kinds."""

    @classmethod
    def sorted(
        cls, keys: Sequence[int] | NDArray[np.uint64], documents: ArrayLike, words: ArrayLike = 0
    ) -> Keys:
        """Puts keys in order; `documents` must ascend."""
        values = np.asarray(keys, np.uint64)
        order = np.argsort(values, kind="stable")
        columns = [
            np.broadcast_to(np.asarray(column, np.uint32), len(values)) for column in (documents, words)
        ]
        return cls(values[order], *(column[order] for column in columns))


def keys_path(part: Path, kind: str) -> Path:
    """The file of the keys of one kind."""
    return part / f"{kind}.keys"


def write_keys(path: Path, tables: Sequence[Keys]) -> None:
    """Writes tables of equal length."""
    with atomic_file(path) as file:
        for table in tables:
            for column, type_ in ((table.keys, "<u8"), (table.documents, "<u4"), (table.words, "<u4")):
                file.write(np.ascontiguousarray(column, type_).data)


def count_keys(path: Path, tables: int = 1) -> int:
    """How many keys each of so many tables in a file has."""
    return path.stat().st_size // (KEY_BYTES * tables)


def open_keys(path: Path, table: int = 0, tables: int = 1) -> Keys:
    """One of so many tables in a file, read from disk where it is used."""
    count = count_keys(path, tables)
    if not count:  # an empty file cannot be mapped
        return Keys(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32))
    content = np.memmap(path, np.uint8, "r", offset=0)[
        KEY_BYTES * count * table : KEY_BYTES * count * (table + 1)
    ]
    keys, documents, words = np.split(content, [8 * count, 12 * count])
    return Keys(keys.view("<u8"), documents.view("<u4"), words.view("<u4"))


def write_signatures(path: Path, signatures: NDArray[np.uint32]) -> None:
    """Writes [documents, PERMUTATIONS]."""
    with atomic_file(path) as file:
        file.write(np.ascontiguousarray(signatures, "<u4").data)


def open_signatures(path: Path) -> NDArray[np.uint32]:
    """[documents, PERMUTATIONS], read from disk where they are used; there must be one."""
    content: NDArray[np.uint32] = np.memmap(path, "<u4", "r").reshape(-1, PERMUTATIONS)
    return content


def write_array(path: Path, array: NDArray[Any] | Table) -> None:
    """Writes a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    with atomic_file(path) as file:
        file.write(buffer.getbuffer())


def open_array(path: Path) -> Any:
    """A .npy file as an array that is read from disk where it is used."""
    # An empty file cannot be mapped.
    return np.load(path, mmap_mode=None if path.stat().st_size < SMALL_BYTES else "r", allow_pickle=False)


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Writes lines, each with a newline, in one zstd frame."""
    with (
        atomic_file(path) as file,
        zstandard.ZstdCompressor(level=FASTEST_LEVEL).stream_writer(file, closefd=False) as stream,
    ):
        for line in lines:
            stream.write(line + b"\n")


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines without newline; none if there is no such file."""
    if not path.exists():
        return
    rest = b""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        while block := stream.read(READ_BUFFER_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
