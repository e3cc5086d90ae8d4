"""Several corpora mixed by weights: which row of which corpus has a global index, as a pure function.

Global indices are cut into blocks of 10,000. Each corpus has the same whole number of places in every block, so the
weights hold at every moment of a run, and a permutation of (seed, block) says which places. Inside a corpus rows count
0, 1, 2, ... over all blocks without a gap: it has epochs of its own, and every row comes once in each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.data.dataset import BertDataset, Dataset
from megatron_bio.data.errors import DataError
from megatron_bio.data.order import EMPTY_ROW, permuted
from megatron_bio.data.randomness import Purpose, hash_words

BLOCK = 10_000
"""Rows of a block. Never change it: resumed runs."""


def rows_of_block(weights: Sequence[float]) -> NDArray[np.int64]:
    """Return [corpora] rows of each corpus in a block, which sum to BLOCK: by largest remainder, at least 1 above weight 0.

    Computed with fractions, so that the result is the same on every machine. weights: finite, none negative, not all 0.
    """
    exact = [Fraction(weight) for weight in weights]
    scale = BLOCK / sum(exact)
    quotas = [weight * scale for weight in exact]
    rows = [max(math.floor(quota), int(quota > 0)) for quota in quotas]
    if sum(map(bool, rows)) > BLOCK:
        raise DataError(f"data.weights: expected at most {BLOCK} corpora, found {sum(map(bool, rows))}.")
    while sum(rows) != BLOCK:
        missing = BLOCK - sum(rows)
        step = 1 if missing > 0 else -1
        # Where the least of 1 made some too large, the corpora furthest above their quota give rows back.
        chosen = [number for number, count in enumerate(rows) if (count > 0 if step > 0 else count > 1)]
        chosen.sort(key=lambda number: ((rows[number] - quotas[number]) * step, number))
        for number in chosen[: abs(missing)]:
            rows[number] += step
    return np.array(rows, dtype=np.int64)


@dataclass(frozen=True)
class Blend:
    """Global index to (corpus, index inside the corpus), at any index, without storing it."""

    rows: tuple[int, ...]
    """Of each corpus in every block; their sum is the size of a block."""
    seed: int

    def locate(self, global_samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (corpora, indices inside them), of the same shape as `global_samples`."""
        rows = np.array(self.rows, dtype=np.int64)
        ends = np.cumsum(rows)
        blocks, places = np.divmod(np.asarray(global_samples, dtype=np.int64), int(ends[-1]))
        places = permuted(places, int(ends[-1]), self.seed, Purpose.BLEND_ORDER, blocks)
        corpora = np.searchsorted(ends, places, side="right")
        return corpora, blocks * rows[corpora] + places - (ends - rows)[corpora]

    def rows_until(self, total: int) -> NDArray[np.int64]:
        """Return [corpora] how many of the global indices 0 ... total - 1 each corpus has."""
        block, rest = divmod(total, sum(self.rows))
        corpora, _ = self.locate(total - rest + np.arange(rest))
        return block * np.array(self.rows, dtype=np.int64) + np.bincount(corpora, minlength=len(self.rows))


def seed_of_corpus(seed: int, number: int) -> int:
    """Return the seed of order and masking in a corpus, so that corpora of one size are not read in step; 0 keeps `seed`."""
    return int(hash_words(seed, Purpose.BLEND_CORPUS, number)) >> 1 if number else seed


class BlendedDataset:
    """Several datasets as one, with the methods of each. `sample_ids` are the global indices."""

    def __init__(
        self, names: Sequence[str], corpora: Sequence[Dataset], documents: Sequence[int], blend: Blend
    ) -> None:
        """Join `corpora` of one kind and row length; `documents` are those of each source, which are counted through."""
        assert len(names) == len(corpora) == len(documents) == len(blend.rows) > 0
        self.names = tuple(names)
        self.corpora = tuple(corpora)
        self.blend = blend
        self._first_documents = [int(first) for first in np.cumsum([0, *documents[:-1]])]
        self._first_rows = np.cumsum([0, *map(len, corpora)])

    def __len__(self) -> int:
        """Return the rows of all corpora together, each once, which is what an evaluation reads."""
        return int(self._first_rows[-1])

    def counts(self) -> dict[str, dict[str, int | float]]:
        """Return the counts of each corpus by its name, for the report."""
        return {name: dict(corpus.counts()) for name, corpus in zip(self.names, self.corpora, strict=True)}

    def batch(self, global_samples: NDArray[np.int64]) -> BertBatch | GptBatch:
        """Return the rows of training for these global indices, one each."""
        return self._joined(global_samples, *self.blend.locate(global_samples), lambda corpus: corpus.batch)

    def evaluation_batch(self, samples: NDArray[np.int64]) -> BertBatch | GptBatch:
        """Return rows by number, corpus after corpus, the same whenever asked; EMPTY_ROW gives padding."""
        return self._joined(samples, *self._located(samples), lambda corpus: corpus.evaluation_batch)

    def documents(self, global_samples: NDArray[np.int64]) -> list[list[int]]:
        """Return the documents of the samples of the rows of `batch` of BERT, counted through all corpora."""
        return self._documents_of(*self.blend.locate(global_samples), evaluation=False)

    def evaluation_documents(self, samples: NDArray[np.int64]) -> list[list[int]]:
        """Return the same for the rows of `evaluation_batch`."""
        return self._documents_of(*self._located(samples), evaluation=True)

    def epochs_until(self, total: int) -> dict[str, float]:
        """Return how often each corpus is read in the first `total` rows of a run."""
        rows = self.blend.rows_until(total).tolist()
        return {
            name: count / len(corpus)
            for name, corpus, count in zip(self.names, self.corpora, rows, strict=True)
        }

    def describe(self, total: int) -> str:
        """Say in words what the first `total` rows of a run read."""
        rows = self.blend.rows_until(total).tolist()
        parts = [
            f"{name} {count:,} rows ({count / max(total, 1):.2%}), {epochs:.3g} epochs"
            for (name, epochs), count in zip(self.epochs_until(total).items(), rows, strict=True)
        ]
        return f"blend of {total:,} rows: {'; '.join(parts)}"

    def _located(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        corpora = np.searchsorted(self._first_rows, samples, side="right") - 1
        empty = samples == EMPTY_ROW
        corpora[empty] = 0
        return corpora, np.where(empty, EMPTY_ROW, samples - self._first_rows[corpora])

    def _joined(
        self,
        sample_ids: NDArray[np.int64],
        corpora: NDArray[np.int64],
        indices: NDArray[np.int64],
        read: Callable[[Dataset], Callable[[NDArray[np.int64]], BertBatch | GptBatch]],
    ) -> BertBatch | GptBatch:
        """Read the rows corpus by corpus and put them into the order of `sample_ids`."""
        present = np.unique(corpora).tolist() or [0]
        parts = [read(self.corpora[corpus])(indices[corpora == corpus]) for corpus in present]
        order = np.argsort(np.concatenate([np.flatnonzero(corpora == corpus) for corpus in present]))
        arrays = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])[order]
            for field in fields(parts[0])
        }
        return type(parts[0])(**arrays | {"sample_ids": sample_ids})

    def _documents_of(
        self, corpora: NDArray[np.int64], indices: NDArray[np.int64], *, evaluation: bool
    ) -> list[list[int]]:
        found = []
        for corpus, index in zip(corpora.tolist(), indices.tolist(), strict=True):
            dataset = self.corpora[corpus]
            assert isinstance(dataset, BertDataset), "only rows of BERT tell their documents"
            ask = dataset.evaluation_documents if evaluation else dataset.documents
            first = self._first_documents[corpus]
            found.append([first + document for document in ask(np.array([index]))[0]])
        return found
