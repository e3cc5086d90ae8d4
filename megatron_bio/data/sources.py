"""Token data as the samples see it: one token file, or several of them in a row."""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.errors import DataError
from megatron_bio.data.randomness import Purpose, integers

_FINGERPRINT_SEQUENCES = 256


class TokenSource(Protocol):
    """Sequences of tokens back to back, grouped into documents; `tokens.IndexedReader` is one.

    S sequences, D documents. Pointers are byte offsets: the exclusive prefix sum of the lengths times the item size.
    """

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a stored token."""

    @property
    def sequence_lengths(self) -> NDArray[np.int32]:
        """[S] tokens of each sequence."""

    @property
    def sequence_pointers(self) -> NDArray[np.int64]:
        """[S] bytes before each sequence."""

    @property
    def document_indices(self) -> NDArray[np.int64]:
        """[D + 1] first sequence of each document, then S."""

    def sequences(self, start: int, stop: int) -> NDArray[Any]:
        """Return the tokens of the sequences start ... stop - 1, which lie back to back."""


class CombinedReader:
    """Several token files as one: the documents of the first, then those of the second, and so on."""

    def __init__(self, readers: Sequence[TokenSource], names: Sequence[str]) -> None:
        """Join `readers`; `names` are their prefixes, for the error that two of them store tokens differently."""
        for reader, name in zip(readers, names, strict=True):
            if reader.dtype != readers[0].dtype:
                raise DataError(
                    f"data.prefixes: {names[0]} stores tokens as {readers[0].dtype}, {name} as {reader.dtype}; "
                    f"preprocess both with the same tokenizer."
                )
        self.readers = tuple(readers)
        self.dtype = readers[0].dtype
        self.sequence_lengths = np.concatenate([reader.sequence_lengths for reader in readers])
        self._first_sequences = _starts([len(reader.sequence_lengths) for reader in readers])
        sizes = [int(reader.sequence_lengths.sum(dtype=np.int64)) * self.dtype.itemsize for reader in readers]
        self.sequence_pointers = np.concatenate(
            [
                reader.sequence_pointers + before
                for reader, before in zip(readers, _starts(sizes), strict=False)
            ]
        )
        documents = [reader.document_indices[:-1] for reader in readers]
        joined = [part + first for part, first in zip(documents, self._first_sequences, strict=False)]
        self.document_indices = np.concatenate([*joined, self._first_sequences[-1:]])

    def sequences(self, start: int, stop: int) -> NDArray[Any]:
        """Return the tokens of the sequences start ... stop - 1: a view inside one file, a copy across two."""
        if start >= stop:
            return np.empty(0, dtype=self.dtype)
        firsts = self._first_sequences
        parts = []
        for number in range(
            int(np.searchsorted(firsts, start, side="right")) - 1,
            int(np.searchsorted(firsts, stop, side="left")),
        ):
            first, end = int(firsts[number]), int(firsts[number + 1])
            parts.append(self.readers[number].sequences(max(start, first) - first, min(stop, end) - first))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _starts(sizes: list[int]) -> NDArray[np.int64]:
    """Return the exclusive prefix sums of `sizes` and their total."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def combine(readers: Sequence[TokenSource], names: Sequence[str]) -> TokenSource:
    """Return `readers` as one source; a single one stays itself, with its index left on disk."""
    return readers[0] if len(readers) == 1 else CombinedReader(readers, names)


def token_files(source: TokenSource) -> list[NDArray[Any]]:
    """Return the tokens of each file of `source`, back to back as its pointers count them, without reading them."""
    readers = source.readers if isinstance(source, CombinedReader) else (source,)
    return [reader.sequences(0, len(reader.sequence_lengths)) for reader in readers]


def content_fingerprint(source: TokenSource) -> str:
    """Return a sha256 that tells token data apart wherever its files lie, without reading all of it.

    It covers the item type, all lengths, all document bounds and the tokens of 256 sequences spread by a hash.
    """
    digest = hashlib.sha256(str(source.dtype).encode())
    for array in (source.sequence_lengths, source.document_indices):
        digest.update(np.ascontiguousarray(array).data)
    count = len(source.sequence_lengths)
    if count:
        for sequence in integers(count, 0, Purpose.FINGERPRINT, np.arange(_FINGERPRINT_SEQUENCES)).tolist():
            digest.update(np.ascontiguousarray(source.sequences(sequence, sequence + 1)).data)
    return digest.hexdigest()
