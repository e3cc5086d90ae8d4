"""Which documents have a key in common: the keys of all parts, sorted together one range of keys at a time.

Each part holds its keys sorted, so a range is one slice of each file, and every key is read once. A range holds about
`RANGE_KEYS` keys (hashes spread evenly), so memory does not grow with the corpus: at most about 60 bytes a key.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.collection import Collection, Flags, Numbers
from megatron_bio.corpus.building.tables import count_keys, keys_path, open_keys

RANGE_KEYS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class KeyRange:
    """Keys of one kind whose first `bits` bits are `number`, as a task; only kind "bands" has several bands."""

    kind: str
    bits: int
    number: int
    keys: int
    """About how many it holds."""
    band: int = 0
    bands: int = 1

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
    words: NDArray[np.uint32]
    starts: Numbers
    """[groups]: where the entries of each key begin."""

    @property
    def groups(self) -> Numbers:
        """[entries]: the number of the group of each entry."""
        sizes = np.diff(np.append(self.starts, len(self.keys)))
        return np.repeat(np.arange(len(self.starts)), sizes)


def key_ranges(collection: Collection, kind: str, bands: int = 1) -> Iterator[KeyRange]:
    """The ranges of all keys of one kind, of each band by itself."""
    total = sum(count_keys(keys_path(path, kind), bands) for path in collection.paths)
    bits = max(0, (total // RANGE_KEYS).bit_length())
    for band in range(bands):
        for number in range(1 << bits):
            yield KeyRange(kind=kind, bits=bits, number=number, keys=total >> bits, band=band, bands=bands)


def equal_keys(collection: Collection, of: KeyRange, among: Flags | None = None) -> EqualKeys:
    """The keys in the range that several documents have, of the documents for which `among` is true."""
    all_keys, all_documents, all_words = (
        [np.empty(0, np.uint64)],
        [np.empty(0, np.int64)],
        [np.empty(0, np.uint32)],
    )
    for path, first in zip(collection.paths, collection.firsts, strict=False):
        table = open_keys(keys_path(path, of.kind), of.band, of.bands)
        begin, end = of.bounds(table.keys)
        documents = table.documents[begin:end].astype(np.int64) + first
        chosen = np.ones(len(documents), np.bool_) if among is None else among[documents]
        all_keys.append(table.keys[begin:end][chosen])
        all_documents.append(documents[chosen])
        all_words.append(table.words[begin:end][chosen])
    unsorted, documents, words = (
        np.concatenate(all_keys),
        np.concatenate(all_documents),
        np.concatenate(all_words),
    )
    # Of equal keys those of earlier parts stay first, so documents ascend.
    order = np.argsort(unsorted, kind="stable")
    keys = unsorted[order]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] = keys[1:] == keys[:-1]
    shared[:-1] |= shared[1:]
    order, keys = order[shared], keys[shared]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return EqualKeys(keys=keys, documents=documents[order], words=words[order], starts=starts)
