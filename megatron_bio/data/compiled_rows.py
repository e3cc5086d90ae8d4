"""BERT rows by compiled code (`csrc/bert_rows.cpp`): from the source's tokens to the arrays of a batch in one pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio import native
from megatron_bio.data.bert_rows import Pairs, Placement, SpecialTokens
from megatron_bio.data.masking import Masking, outside_of_vocabulary
from megatron_bio.data.sources import TokenSource, token_files

_KNOWN_TYPES = (np.dtype(np.uint16), np.dtype(np.int32))


def compiled_rows(
    source: TokenSource,
    pairs: Pairs,
    place: Placement,
    row_keys: NDArray[np.uint64],
    sequence_length: int,
    special: SpecialTokens,
    max_samples_per_row: int,
    masking: Masking,
) -> dict[str, NDArray[Any]] | None:
    """Return all arrays of a BertBatch but `sample_ids`, by name; None without compiled code, or for tokens of another type.

    Equal to `lay_out` and `mask_rows`, one after the other. row_keys: [R] as for `mask_rows`.

    Raises:
        DataError: a token that is not in the vocabulary.
    """
    if native.compiled is None or source.dtype not in _KNOWN_TYPES:
        return None
    table = {
        "starts": np.ascontiguousarray(pairs.starts),
        "lengths": np.ascontiguousarray(pairs.lengths),
        "paired": pairs.paired.astype(np.uint8),
        "labels": pairs.order_labels.astype(np.int64),
        "row": np.ascontiguousarray(place.row, dtype=np.int64),
        "column": np.ascontiguousarray(place.column, dtype=np.int64),
        "number": np.ascontiguousarray(place.number, dtype=np.int64),
    }
    shape = place.rows, sequence_length, max_samples_per_row, masking.budget(sequence_length)
    try:
        arrays: dict[str, NDArray[Any]] = native.compiled.bert_rows(
            token_files(source),
            table,
            (special.cls, special.sep, special.pad),
            shape,
            row_keys,
            masking.for_compiled(),
        )
    except IndexError as token:
        raise outside_of_vocabulary(token, masking) from None
    return arrays
