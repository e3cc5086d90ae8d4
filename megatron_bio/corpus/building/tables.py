"""What is kept of each document in numbers: where the files of a part are and what their columns mean.

A part is a folder with these files; `counts.json`, written last, vouches for the others.

* `documents.npy` [documents] of `DOCUMENT`;
* `KIND.keys.npy` [keys] of `KEY`, in the order of `key`, then `document`: what equal documents have in common;
* `bands.npy` [bands, documents] of `KEY`, each row in that order;
* `signatures.npy` [documents, permutations] uint32;
* `ids.zst`, `lines-SPLIT.zst`, `dropped.zst`: lines of text.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from megatron_bio.corpus.atomic_file import atomic_file

Table = np.ndarray[Any, np.dtype[np.void]]

DOCUMENT: Final = np.dtype(
    [
        ("digest_low", "<u8"),  # the second half of the 128 bits; the first is the key in text.keys.npy
        ("words", "<u4"),  # separated by white space
        ("plain_words", "<u4"),  # as the hashes see them: only letters and digits
        ("characters", "<u4"),
        ("line_bytes", "<u4"),
        ("source", "<u4"),  # its number in the part's list of sources
        ("split", "u1"),
        ("article", "?"),
    ]
)
KEY: Final = np.dtype([("key", "<u8"), ("document", "<u4"), ("words", "<u2")])
"""`document` is its number in the part; `words` is how many the sentence has, 0 for other kinds."""

TEXT, RECORD, SENTENCES, BANDS = "text", "record", "sentences", "bands"
PMID, PMCID, ABSTRACT = "pmid", "pmcid", "abstract"
FASTEST_LEVEL = 1
READ_BUFFER_BYTES = 1 << 20
SMALL_BYTES = 4096


def keys_path(part: Path, kind: str) -> Path:
    """The file of the keys of one kind."""
    return part / f"{kind}.keys.npy"


def sorted_keys(keys: Iterable[int] | NDArray[np.uint64], documents: object, words: object = 0) -> Table:
    """A table of `KEY` in order."""
    values = np.fromiter(keys, np.uint64) if not isinstance(keys, np.ndarray) else keys
    table = np.zeros(len(values), KEY)
    table["key"], table["document"], table["words"] = values, documents, words
    return table[np.argsort(values, kind="stable")]


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
