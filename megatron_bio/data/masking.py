"""Masked-LM: which tokens of a batch the model has to predict, and what stands in their place.

Legend of shapes: R rows, S sequence length, M budget of a row, V entries in the vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from megatron_bio import native
from megatron_bio.data.errors import DataError
from megatron_bio.data.masked_units import Unit, Words, choose_units, random_order
from megatron_bio.data.randomness import Purpose, hash_words, integers, uniform

MASK_SHARE = 0.8
RANDOM_SHARE = 0.1
"""Of the predicted tokens 80 % become [MASK], 10 % a random token and 10 % stay (Devlin et al. 2019)."""

_BUDGET_MULTIPLE = 8
_MASKABLE, _CONTINUATION = 1, 2

Strategy = Literal["token", "whole_word", "ngram", "span"]


@dataclass(frozen=True)
class Masking:
    """How rows are masked."""

    probability: float
    mask_id: int
    maskable: NDArray[np.bool_]
    """[V] whether a token may be predicted: all but special ones."""
    continuation: NDArray[np.bool_]
    """[V] whether a token continues the word before it; all False masks tokens one by one."""
    replacements: NDArray[np.int64]
    """Tokens that random replacement draws from."""
    length_bounds: NDArray[np.float64]
    """A unit has one word more than the bounds that a number drawn from [0, 1) reaches: P(at most n words) for n = 1, 2, ..., the
    longest unit left out."""
    alike: bool
    """Whether the tokens of a unit share the draw between [MASK], a random token and itself."""
    flags: NDArray[np.uint8]
    """[V] maskable (1) and continuation (2) in one, for the compiled code."""

    @classmethod
    def for_vocabulary(
        cls,
        probability: float,
        mask_id: int,
        special_ids: list[int],
        continuation: NDArray[np.bool_],
        strategy: Strategy = "whole_word",
        *,
        max_ngram: int = 3,
        span_probability: float = 0.2,
        longest_span: int = 10,
    ) -> "Masking":
        """Derive the tables from the special ids, the tokenizer's continuation mask [V] and the options of `DataConfig`."""
        maskable = np.ones(len(continuation), dtype=np.bool_)
        maskable[special_ids] = False
        if not maskable.any():
            raise DataError(
                f"the tokenizer's {len(continuation)} tokens are all special; there is nothing to predict."
            )
        continues = continuation & (strategy != "token")
        laws = {
            "ngram": 1 / np.arange(1, max_ngram + 1),
            "span": (1 - span_probability) ** np.arange(longest_span),
        }
        return cls(
            probability,
            mask_id,
            maskable,
            continues,
            np.flatnonzero(maskable).astype(np.int64),
            _bounds(laws.get(strategy, np.ones(1))),
            strategy == "span",
            (maskable * _MASKABLE + continues * _CONTINUATION).astype(np.uint8),
        )

    def budget(self, sequence_length: int) -> int:
        """Return M: slots of a row, a multiple of 8 so that kernels see aligned shapes."""
        return -(-math.ceil(self.probability * sequence_length) // _BUDGET_MULTIPLE) * _BUDGET_MULTIPLE

    def for_compiled(self) -> dict[str, Any]:
        """Return what the compiled code needs, by its names."""
        names = ("probability", "mask_id", "flags", "replacements", "length_bounds", "alike")
        return {name: getattr(self, name) for name in names}


def _bounds(weights: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.cumsum(weights / weights.sum(), dtype=np.float64)[:-1].copy()


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
    """Choose units of words in random order until probability x maskable tokens of each row are predicted.

    tokens, segment_ids: [R, S]. row_keys: [R] hash of all that the row's masks shall depend on.
    `masked_units` says which units. Every row with a maskable token predicts at least one, and none more than M. Compiled code does
    the same as `mask_rows_by_definition`.

    Raises:
        DataError: a token that is not in the vocabulary.
    """
    if native.compiled is None:
        return mask_rows_by_definition(tokens, segment_ids, row_keys, masking)
    budget = masking.budget(tokens.shape[1])
    arrays = (np.ascontiguousarray(array) for array in (tokens, segment_ids, row_keys))
    try:
        return Masked(*native.compiled.mask_rows(*arrays, masking.for_compiled(), budget))
    except IndexError as token:
        raise outside_of_vocabulary(token, masking) from None


def mask_rows_by_definition(
    tokens: NDArray[np.int64], segment_ids: NDArray[np.int32], row_keys: NDArray[np.uint64], masking: Masking
) -> Masked:
    """Do what `mask_rows` says, row by row."""
    check_vocabulary(tokens, masking)
    rows, length = tokens.shape
    budget = masking.budget(length)
    maskable, continuation = masking.maskable[tokens] & (segment_ids > 0), masking.continuation[tokens]
    order_draws = hash_words(row_keys[:, None], Purpose.MASK_ORDER, np.arange(length))
    wanted = _words_wanted(row_keys, length, masking)
    units: list[list[Unit]] = []
    for row in range(rows):
        words = Words.find(maskable[row], continuation[row], segment_ids[row])
        order = random_order(words.columns, order_draws[row])
        left = min(max(1, round(masking.probability * sum(words.sizes))), budget)
        units.append(sorted(choose_units(words, order, wanted[row, words.columns].tolist(), left)))

    sizes = [size for units_of_row in units for _, size in units_of_row]
    unit_columns = np.repeat([column for units_of_row in units for column, _ in units_of_row], sizes).astype(
        np.int64
    )
    counts = np.array([sum(size for _, size in units_of_row) for units_of_row in units], dtype=np.int64)
    row_of, column, slot = (
        np.repeat(np.arange(rows), counts),
        unit_columns + _count_up(sizes),
        _count_up(counts),
    )
    result = Masked(
        tokens=tokens.copy(),
        positions=np.zeros((rows, budget), dtype=np.int64),
        labels=np.zeros((rows, budget), dtype=np.int64),
        weights=np.zeros((rows, budget), dtype=np.float32),
    )
    labels = tokens[row_of, column]
    result.tokens[row_of, column] = _replace(
        labels, row_keys[row_of], column, unit_columns if masking.alike else column, masking
    )
    result.positions[row_of, slot] = column
    result.labels[row_of, slot] = labels
    result.weights[row_of, slot] = 1.0
    return result


def _words_wanted(row_keys: NDArray[np.uint64], length: int, masking: Masking) -> NDArray[np.int64]:
    """Draw [R, S] how many words a unit that starts there should have."""
    if not len(masking.length_bounds):
        return np.ones((len(row_keys), length), dtype=np.int64)
    draws = uniform(row_keys[:, None], Purpose.MASK_LENGTH, np.arange(length))
    return 1 + np.searchsorted(masking.length_bounds, draws, side="right")


def _count_up(counts: list[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 ... c - 1 for each count c, one after the other."""
    sizes = np.asarray(counts, dtype=np.int64)
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _replace(
    labels: NDArray[np.int64],
    row_keys: NDArray[np.uint64],
    columns: NDArray[np.int64],
    drawn_at: NDArray[np.int64],
    masking: Masking,
) -> NDArray[np.int64]:
    """Return what stands instead of each predicted token: [MASK], a random token or itself; the kind is drawn for `drawn_at`."""
    draws = uniform(row_keys, Purpose.MASK_KIND, drawn_at)
    choice = integers(len(masking.replacements), row_keys, Purpose.MASK_REPLACEMENT, columns)
    kept = np.where(draws < MASK_SHARE + RANDOM_SHARE, masking.replacements[choice], labels)
    return np.where(draws < MASK_SHARE, masking.mask_id, kept)


def check_vocabulary(tokens: NDArray[np.int64], masking: Masking) -> None:
    """Raise DataError for a token that is not in the vocabulary."""
    outside = (tokens < 0) | (tokens >= len(masking.flags))
    if outside.any():
        raise outside_of_vocabulary(tokens[outside][0], masking)


def outside_of_vocabulary(token: object, masking: Masking) -> DataError:
    """Return the error that the token data holds `token`."""
    return DataError(
        f"data.prefixes: expected tokens from 0 to {len(masking.flags) - 1}, found {token}; the token data was made with another "
        f"tokenizer, or has changed since, which `megatron-bio inspect PREFIX --verify` tells. Preprocess it again with the one in "
        f"data.tokenizer."
    )
