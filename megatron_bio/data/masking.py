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
from megatron_bio.data.masked_units import Words, choose_units, random_order, words_wanted
from megatron_bio.data.randomness import Purpose, integers, uniform

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
    shape = len(tokens), masking.budget(tokens.shape[1])
    result = Masked(
        tokens=tokens.copy(),
        positions=np.zeros(shape, dtype=np.int64),
        labels=np.zeros(shape, dtype=np.int64),
        weights=np.zeros(shape, dtype=np.float32),
    )
    maskable = masking.maskable[tokens] & (segment_ids > 0)
    continuation = masking.continuation[tokens]
    for row, key in enumerate(row_keys.tolist()):
        words = Words.find(maskable[row], continuation[row], segment_ids[row])
        columns, unit_columns = _predicted(words, key, masking, shape[1])
        slots = slice(len(columns))
        labels = tokens[row, columns]
        result.positions[row, slots] = columns
        result.labels[row, slots] = labels
        result.weights[row, slots] = 1.0
        result.tokens[row, columns] = _replace(
            labels, columns, unit_columns if masking.alike else columns, key, masking
        )
    return result


def _predicted(
    words: Words, row_key: int, masking: Masking, slots: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the predicted columns of one row, ascending, and for each the column at which its unit starts."""
    budget = min(max(1, round(masking.probability * sum(words.sizes))), slots)
    starts = np.array(words.columns, dtype=np.int64)
    order, wanted = random_order(starts, row_key), words_wanted(starts, row_key, masking.length_bounds)
    units = sorted(choose_units(words, order, wanted, budget), key=lambda unit: unit.column)
    columns = [unit.column + piece for unit in units for piece in range(unit.size)]
    unit_columns = [unit.column for unit in units for _ in range(unit.size)]
    return np.array(columns, dtype=np.int64), np.array(unit_columns, dtype=np.int64)


def _replace(
    labels: NDArray[np.int64],
    columns: NDArray[np.int64],
    drawn_at: NDArray[np.int64],
    row_key: int,
    masking: Masking,
) -> NDArray[np.int64]:
    """Return what stands instead of each predicted token: [MASK], a random token or itself; the kind is drawn for `drawn_at`."""
    draws = uniform(row_key, Purpose.MASK_KIND, drawn_at)
    choice = integers(len(masking.replacements), row_key, Purpose.MASK_REPLACEMENT, columns)
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
        f"tokenizer. Preprocess it again with the one in data.tokenizer."
    )
