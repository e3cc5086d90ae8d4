"""Token data in memory, so that the tests of data/ need no files."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True)
class MemorySource:
    """Documents of sentences of tokens, with the interface of `tokens.IndexedReader`."""

    tokens: NDArray[np.generic]
    sequence_lengths: NDArray[np.int32]
    document_indices: NDArray[np.int64]

    @classmethod
    def of(cls, documents: list[list[list[int]]], dtype: type = np.uint16) -> "MemorySource":
        sentences = [sentence for document in documents for sentence in document]
        return cls(
            np.array([token for sentence in sentences for token in sentence], dtype=dtype),
            np.array([len(sentence) for sentence in sentences], dtype=np.int32),
            np.cumsum([0, *map(len, documents)], dtype=np.int64),
        )

    @property
    def dtype(self):
        return self.tokens.dtype

    @property
    def sequence_pointers(self):
        lengths = self.sequence_lengths.astype(np.int64)
        return (np.cumsum(lengths) - lengths) * self.tokens.dtype.itemsize

    def sequences(self, start: int, stop: int) -> NDArray[np.generic]:
        bounds = np.concatenate([[0], np.cumsum(self.sequence_lengths, dtype=np.int64)])
        return self.tokens[bounds[start] : bounds[stop]]


@pytest.fixture
def memory_source() -> Callable[..., MemorySource]:
    return MemorySource.of


@pytest.fixture
def random_documents() -> Callable[..., list[list[list[int]]]]:
    """Documents with unequal sentences, some of them empty or far too long, and a few empty documents."""

    def make(count: int, seed: int = 0, longest: int = 40, vocabulary: int = 200) -> list[list[list[int]]]:
        rng = np.random.default_rng(seed)
        documents = []
        for _ in range(count):
            sentences = []
            for _ in range(rng.integers(0, 9)):
                size = rng.choice([0, rng.integers(1, 12), rng.integers(1, longest)], p=[0.05, 0.75, 0.2])
                sentences.append(rng.integers(5, vocabulary, size).tolist())
            documents.append(sentences)
        return documents

    return make
