"""Which documents have a key in common: the keys of all parts, sorted together one range of keys at a time.

Each part holds its keys sorted, so a range is one slice of each file, and every key is read once. A range holds about
`RANGE_KEYS` keys (hashes spread evenly), so memory does not grow with the corpus: at most about 60 bytes a key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.collection import Collection, Flags, Numbers
from megatron_bio.corpus.building.tables import BANDS, KEY, keys_path, open_array

RANGE_KEYS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class KeyRange:
    """Keys of one kind whose first `bits` bits are `number`, as a task; `band` is for kind "bands" only."""

    kind: str
    bits: int
    number: int
    keys: int
    """About how many it holds."""
    band: int = 0

    @property
    def place(self) -> str:
        """For messages."""
        return f"the keys of {self.kind}, range {self.number + 1} of {1 << self.bits}"

    def bounds(self, keys: NDArray[np.uint64]) -> tuple[int, int]:
        """Where the range begins and ends in sorted keys."""
        width = 64 - self.bits
        first = np.searchsorted(keys, np.uint64(self.number << width)) if self.number else 0
        if self.number + 1 == 1 << self.bits:
            return int(first), len(keys)
        return int(first), int(np.searchsorted(keys, np.uint64((self.number + 1) << width)))


@dataclass(frozen=True, kw_only=True)
class EqualKeys:
    """Entries whose key another document has too, in the order of key, then document; all [entries]."""

    keys: NDArray[np.uint64]
    documents: Numbers
    words: NDArray[np.uint16]
    starts: Numbers
    """[groups]: where the entries of each key begin."""

    @property
    def groups(self) -> Numbers:
        """[entries]: the number of the group of each entry."""
        sizes = np.diff(np.append(self.starts, len(self.keys)))
        return np.repeat(np.arange(len(self.starts)), sizes)


def key_ranges(collection: Collection, kind: str, bands: int = 1) -> Iterator[KeyRange]:
    """The ranges of all keys of one kind, of each band by itself."""
    total = collection.documents
    if kind != BANDS:
        total = sum(len(open_array(keys_path(path, kind))) for path in collection.paths)
    bits = max(0, (total // RANGE_KEYS).bit_length())
    for band in range(bands):
        for number in range(1 << bits):
            yield KeyRange(kind=kind, bits=bits, number=number, keys=total >> bits, band=band)


def equal_keys(collection: Collection, of: KeyRange, among: Flags | None = None) -> EqualKeys:
    """The keys in the range that several documents have, of the documents for which `among` is true."""
    pieces, numbers = [], []
    for path, first in zip(collection.paths, collection.firsts, strict=False):
        table: Any = (
            open_array(path / "bands.npy")[of.band]
            if of.kind == BANDS
            else open_array(keys_path(path, of.kind))
        )
        begin, end = of.bounds(table["key"])
        piece = np.array(table[begin:end])
        documents = piece["document"].astype(np.int64) + first
        if among is not None:
            kept = np.asarray(among[documents])
            piece, documents = piece[kept], documents[kept]
        pieces.append(piece)
        numbers.append(documents)
    table = np.concatenate([np.empty(0, KEY), *pieces])
    documents = np.concatenate([np.empty(0, np.int64), *numbers])
    # Of equal keys those of earlier parts stay first, so documents ascend.
    order = np.argsort(table["key"], kind="stable")
    keys = table["key"][order]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] = keys[1:] == keys[:-1]
    shared[:-1] |= shared[1:]
    order, keys = order[shared], keys[shared]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return EqualKeys(keys=keys, documents=documents[order], words=table["words"][order], starts=starts)
