"""Masked-LM: which tokens of a batch the model has to predict, and what stands in their place.

Vectorised over the batch. Legend of shapes: R rows, S sequence length, M budget of a row, W most words of a row.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.errors import DataError
from megatron_bio.data.randomness import Purpose, hash_words, integers, uniform

MASK_SHARE = 0.8
RANDOM_SHARE = 0.1
"""Of the predicted tokens 80 % become [MASK], 10 % a random token and 10 % stay (Devlin et al. 2019)."""

_BUDGET_MULTIPLE = 8
_NO_WORD = np.uint64(0xFFFFFFFFFFFFFFFF)
_NUMBER_BITS = np.uint64(0xFFFFFF)


@dataclass(frozen=True)
class Masking:
    """How rows are masked; V entries in the vocabulary."""

    probability: float
    mask_id: int
    maskable: NDArray[np.bool_]
    """[V] whether a token may be predicted: all but special ones."""
    continuation: NDArray[np.bool_]
    """[V] whether a token continues the word before it; all False masks tokens one by one."""
    replacements: NDArray[np.int64]
    """Tokens that random replacement draws from."""

    @classmethod
    def for_vocabulary(
        cls,
        probability: float,
        mask_id: int,
        special_ids: list[int],
        continuation: NDArray[np.bool_],
        whole_word: bool,
    ) -> "Masking":
        """Derive the tables from the special ids and the tokenizer's continuation mask [V]."""
        maskable = np.ones(len(continuation), dtype=np.bool_)
        maskable[special_ids] = False
        if not maskable.any():
            raise DataError(
                f"the tokenizer's {len(continuation)} tokens are all special; there is nothing to predict."
            )
        return cls(
            probability,
            mask_id,
            maskable,
            continuation & whole_word,
            np.flatnonzero(maskable).astype(np.int64),
        )

    def budget(self, sequence_length: int) -> int:
        """Return M: slots of a row, a multiple of 8 so that kernels see aligned shapes."""
        return -(-math.ceil(self.probability * sequence_length) // _BUDGET_MULTIPLE) * _BUDGET_MULTIPLE


@dataclass(frozen=True)
class Masked:
    """The fields of a BertBatch that masking gives; `tokens` is [R, S], the others [R, M]."""

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]


def mask_rows(
    tokens: NDArray[np.int64], segment_ids: NDArray[np.int32], row_keys: NDArray[np.uint64], masking: Masking
) -> Masked:
    """Choose whole words in random order until probability x maskable tokens of each row are predicted.

    tokens, segment_ids: [R, S]. row_keys: [R] hash of all that the row's masks shall depend on.
    A word longer than what is left of the row's share is passed over. Every row with a maskable token predicts at
    least one; when no whole word fits, it is the start of one.
    """
    rows, length = tokens.shape
    words = _Words.find(tokens, segment_ids, masking)
    share = np.rint(masking.probability * words.pieces_per_row).astype(np.int64)
    pieces = _choose(words, np.maximum(share, 1), row_keys)
    chosen = np.zeros(rows * length, dtype=np.bool_)
    chosen[words.cells] = words.piece < np.repeat(pieces, words.sizes)
    cells = np.flatnonzero(chosen)
    row, column = np.divmod(cells, length)

    labels = tokens.reshape(-1)[cells]
    masked = tokens.copy()
    masked.reshape(-1)[cells] = _replace(labels, row, column, row_keys, masking)

    counts = np.bincount(row, minlength=rows)
    slot = np.arange(len(cells)) - (np.cumsum(counts) - counts)[row]
    budget = masking.budget(length)
    assert not len(slot) or slot.max() < budget, f"more than {budget} masked positions in a row"
    result = Masked(
        tokens=masked,
        positions=np.zeros((rows, budget), dtype=np.int64),
        labels=np.zeros((rows, budget), dtype=np.int64),
        weights=np.zeros((rows, budget), dtype=np.float32),
    )
    result.positions[row, slot] = column
    result.labels[row, slot] = labels
    result.weights[row, slot] = 1.0
    return result


@dataclass(frozen=True)
class _Words:
    """The words of all rows, in reading order."""

    row: NDArray[np.int64]
    """Row of each word."""
    column: NDArray[np.int64]
    """Column of its first piece."""
    sizes: NDArray[np.int64]
    """Pieces of each word."""
    cells: NDArray[np.int64]
    """Flat cell of each piece of each word."""
    piece: NDArray[np.int64]
    """Number of each piece inside its word."""
    pieces_per_row: NDArray[np.int64]
    """[R] maskable tokens."""

    @classmethod
    def find(cls, tokens: NDArray[np.int64], segment_ids: NDArray[np.int32], masking: Masking) -> "_Words":
        """A word is a maskable token and the continuations directly behind it; samples are apart by [CLS]."""
        maskable = masking.maskable[tokens] & (segment_ids > 0)
        starts = maskable.copy()
        starts[:, 1:] &= ~(masking.continuation[tokens[:, 1:]] & maskable[:, :-1])
        cells = np.flatnonzero(maskable)
        firsts = np.flatnonzero(starts.reshape(-1)[cells])
        sizes = np.diff(firsts, append=len(cells))
        row, column = np.divmod(cells[firsts], tokens.shape[1])
        piece = np.arange(len(cells)) - np.repeat(firsts, sizes)
        return cls(row, column, sizes, cells, piece, np.count_nonzero(maskable, axis=1))


def _choose(words: _Words, budgets: NDArray[np.int64], row_keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many pieces of each word are predicted: all or none, or a part when no word of the row fits.

    Equal to this loop for each row, without the loop over words: go through the words in random order and take each
    that fits into what is left of the budget. A round takes the run of fitting words up to the first that does not fit;
    what is left never grows, so longer words drop out for good and a few rounds suffice.
    """
    pieces = np.zeros(len(words.row), dtype=np.int64)
    if not len(pieces):
        return pieces
    order = _random_order(words, row_keys)
    present = order >= 0
    sizes = np.where(present, words.sizes[order], 0)
    fits = present & (sizes <= budgets[:, None])
    too_long = present[:, 0] & ~fits.any(axis=1)
    pieces[order[too_long, 0]] = budgets[too_long]
    left = budgets
    while fits.any():
        taken = fits & (np.cumsum(sizes * fits, axis=1) <= left[:, None])
        pieces[order[taken]] = sizes[taken]
        left = left - (sizes * taken).sum(axis=1)
        fits &= ~taken & (sizes <= left[:, None])
        again = fits.any(axis=1)
        order, sizes, left, fits = order[again], sizes[again], left[again], fits[again]
    return pieces


def _random_order(words: _Words, row_keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return [R, W] the words of each row in random order, -1 behind the last.

    Each word's key is a hash of its row's key and its column; its number inside the row stands in the key's low bits, so
    that a plain sort, several times as fast as argsort, gives the order.
    """
    per_row = np.bincount(words.row, minlength=len(row_keys))
    first = np.cumsum(per_row) - per_row
    number = (np.arange(len(words.row)) - first[words.row]).astype(np.uint64)
    keys = np.full((len(row_keys), per_row.max()), _NO_WORD)
    draws = hash_words(hash_words(row_keys, Purpose.MASK_ORDER)[words.row], words.column)
    keys[words.row, number] = (draws & ~_NUMBER_BITS) | number
    keys.sort(axis=1)
    return np.where(keys == _NO_WORD, -1, first[:, None] + (keys & _NUMBER_BITS).astype(np.int64))


def _replace(
    labels: NDArray[np.int64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    row_keys: NDArray[np.uint64],
    masking: Masking,
) -> NDArray[np.int64]:
    """Return what stands instead of each predicted token: [MASK], a random token or itself."""
    draws = uniform(hash_words(row_keys, Purpose.MASK_KIND)[row], column)
    choice = integers(len(masking.replacements), hash_words(row_keys, Purpose.MASK_REPLACEMENT)[row], column)
    kept = np.where(draws < MASK_SHARE + RANDOM_SHARE, masking.replacements[choice], labels)
    return np.where(draws < MASK_SHARE, masking.mask_id, kept)
