"""The order of samples as a pure function of (seed, epoch, global sample index), at any index, without storing it.

The global sample index g counts 0, 1, 2, ... over the whole run; step t reads [t x global_batch_size,
(t + 1) x global_batch_size). Neither the number of ranks nor a restart appears in that, so neither can change it.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.data.randomness import Purpose, Word, hash_words
from megatron_bio.native import compiled

_ROUNDS = 8
_BLOCK = 1 << 20
EMPTY_ROW = -1
"""Stands for a sample in the rows of an evaluation that only fill a microbatch up."""


@dataclass(frozen=True)
class Permutation:
    """A permutation of 0 ... size - 1 that costs no memory: a Feistel network on a grid of about size cells.

    An index is a cell (row, column) of a grid of ceil(sqrt(size)) rows; each round shifts the row by a hash of the
    column or the column by a hash of the row, which is invertible whatever the hash. The at most sqrt(size) cells
    beyond the end are walked through until the network returns below size. `csrc/permutation.cpp` does the same.
    """

    size: int
    seed: int
    epoch: int
    purpose: Purpose = Purpose.SAMPLE_ORDER

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the images of `indices` (any shape, each in [0, size))."""
        return permuted(indices, self.size, self.seed, self.purpose, self.epoch)

    def all(self) -> NDArray[np.int64]:
        """Return the images of 0 ... size - 1."""
        if compiled is not None and self.size:
            images: NDArray[np.int64] = compiled.permutation(self.size, self.seed, self.purpose, self.epoch)
            return images
        result = np.empty(self.size, dtype=np.int64)
        for start in range(0, self.size, _BLOCK):
            stop = min(start + _BLOCK, self.size)
            result[start:stop] = self(np.arange(start, stop))
        return result


def permuted(
    indices: NDArray[np.int64], size: int, seed: int, purpose: Purpose, epochs: int | NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return where the permutation of (seed, purpose, epoch) of 0 ... size - 1 sends each index.

    `epochs` is one number or one per index, so that a batch may lie across the end of an epoch.
    """
    indices = np.asarray(indices, dtype=np.int64)
    assert size > 0 and (indices >= 0).all() and (indices < size).all(), f"indices outside 0 ... {size - 1}"
    epochs = np.broadcast_to(np.asarray(epochs, dtype=np.int64), indices.shape).reshape(-1)
    if compiled is not None:
        found: NDArray[np.int64] = compiled.permuted(
            np.ascontiguousarray(indices.reshape(-1)), size, seed, purpose, np.ascontiguousarray(epochs)
        )
        return found.reshape(indices.shape)
    images = indices.reshape(-1).copy()
    outside = np.arange(images.size)
    while outside.size:
        images[outside] = _feistel(images[outside], size, seed, purpose, epochs[outside])
        outside = outside[images[outside] >= size]
    return images.reshape(indices.shape)


def _feistel(
    cells: NDArray[Any], size: int, seed: int, purpose: Purpose, epochs: NDArray[Any]
) -> NDArray[Any]:
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    row, column = np.divmod(cells, columns)
    for number in range(0, _ROUNDS, 2):
        row = (row + _below(rows, seed, purpose, number, epochs, column)) % rows
        column = (column + _below(columns, seed, purpose, number + 1, epochs, row)) % columns
    return np.asarray(row * columns + column)


def _below(size: int, *words: Word) -> NDArray[np.int64]:
    """Return numbers below `size`, which is below 2^32: the upper half of the hash as a fraction of it."""
    high = hash_words(*words) >> np.uint64(32)
    return ((high * np.uint64(size)) >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True)
class GlobalOrder:
    """Maps global sample indices to (epoch, sample), where every epoch holds every sample once."""

    samples_per_epoch: int
    seed: int

    def locate(self, global_samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (epochs, samples) of the same shape as `global_samples`."""
        if compiled is not None:
            samples = np.ascontiguousarray(global_samples, dtype=np.int64)
            located: tuple[NDArray[np.int64], NDArray[np.int64]] = compiled.located(
                samples, self.samples_per_epoch, self.seed, Purpose.SAMPLE_ORDER
            )
            return located
        epochs, indices = np.divmod(np.asarray(global_samples, dtype=np.int64), self.samples_per_epoch)
        return epochs, permuted(indices, self.samples_per_epoch, self.seed, Purpose.SAMPLE_ORDER, epochs)


def rows_of_step(
    step: int, global_batch_size: int, data_parallel_size: int, data_parallel_rank: int, micro_batch_size: int
) -> NDArray[np.int64]:
    """Return the global sample indices of one rank in step `step` (from 0): int64 [microbatches, micro_batch_size].

    Microbatch m of all ranks together is a run of consecutive indices, rank after rank.
    """
    rows = micro_batch_size * data_parallel_size
    if global_batch_size % rows:
        raise ConfigurationError(
            f"training.global_batch_size {global_batch_size} is no multiple of training.micro_batch_size "
            f"{micro_batch_size} x {data_parallel_size} data-parallel ranks = {rows}; change one of them."
        )
    step_rows = step * global_batch_size + np.arange(global_batch_size, dtype=np.int64)
    return _rows_of_rank(step_rows, data_parallel_size, data_parallel_rank, micro_batch_size)


def rows_of_evaluation(
    samples: int, data_parallel_size: int, data_parallel_rank: int, micro_batch_size: int
) -> NDArray[np.int64]:
    """Return which of the samples 0 ... samples - 1 one rank evaluates: int64 [microbatches, micro_batch_size].

    Every rank has the same number of microbatches; EMPTY_ROW fills the last ones up.
    """
    rows = micro_batch_size * data_parallel_size
    padded = np.full(-(-samples // rows) * rows, EMPTY_ROW, dtype=np.int64)
    padded[:samples] = np.arange(samples)
    return _rows_of_rank(padded, data_parallel_size, data_parallel_rank, micro_batch_size)


def _rows_of_rank(rows: NDArray[np.int64], size: int, rank: int, micro_batch_size: int) -> NDArray[np.int64]:
    assert 0 <= rank < size, f"data-parallel rank {rank} of {size}"
    return rows.reshape(-1, size, micro_batch_size)[:, rank]
