"""Invertible rearrangements of one tensor of ours into one or more of a foreign format.

Shapes: n heads, D head dimension, H = n D hidden, V tokens, P rows of the padded vocabulary; `...` is [H] for weights and
nothing for biases. Nothing is computed, so both directions keep every bit.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Transformation(Protocol):
    """`to_ours(to_foreign(x))` is x, and the other way round."""

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """Return the foreign tensors, as many as the table's entry names."""

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """Return our tensor from all of the entry's foreign ones."""


@dataclass(frozen=True)
class Same:
    """The tensor as it is."""

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """Return it."""
        return (ours,)

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """Return it."""
        return foreign[0]


@dataclass(frozen=True)
class Transposed:
    """[out, in] for GPT-2's `Conv1D`, which stores [in, out]."""

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """[out, in] -> [in, out]."""
        return (ours.t(),)

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """[in, out] -> [out, in]."""
        return foreign[0].t()


@dataclass(frozen=True)
class WithoutPadding:
    """The real tokens of a table over the padded vocabulary; padding comes back as zeros, for it is never read."""

    vocab_size: int
    padded_size: int

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """[P, ...] -> [V, ...]."""
        return (ours[: self.vocab_size],)

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """[V, ...] -> [P, ...]."""
        padded = foreign[0].new_zeros((self.padded_size, *foreign[0].shape[1:]))
        padded[: self.vocab_size] = foreign[0]
        return padded


@dataclass(frozen=True)
class QueryKeyValueSplit:
    """Fused rows [n, 3, D] as three tensors with rows [n, D]: query, key, value."""

    heads: int

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """[n 3 D, ...] -> three [n D, ...]."""
        by_head = ours.view(self.heads, 3, -1, *ours.shape[1:])
        return tuple(part.flatten(0, 1) for part in by_head.unbind(1))

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """Three [n D, ...] -> [n 3 D, ...]."""
        by_head = [part.reshape(self.heads, -1, *part.shape[1:]) for part in foreign]
        return torch.stack(by_head, dim=1).flatten(0, 2)


@dataclass(frozen=True)
class QueryKeyValueColumns:
    """Fused rows [n, 3, D] as GPT-2's `c_attn`: columns [3, n, D], all queries before all keys before all values."""

    heads: int

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """[n 3 D, H] -> [H, 3 n D], or [n 3 D] -> [3 n D]."""
        return (torch.cat(QueryKeyValueSplit(self.heads).to_foreign(ours)).t(),)

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """[H, 3 n D] -> [n 3 D, H], or [3 n D] -> [n 3 D]."""
        return QueryKeyValueSplit(self.heads).to_ours(foreign[0].t().chunk(3))
