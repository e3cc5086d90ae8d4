"""What training receives: rows of tokens as frozen dataclasses of numpy arrays.

Legend of shapes: R rows, S sequence length, M budget of masked positions of a row, K most samples of a row.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class _Rows:
    """What both kinds of batch can do: every field is an array whose first dimension is the rows."""

    def rows(self, start: int, stop: int) -> Self:
        """Return the rows start ... stop - 1 as a batch of views."""
        return type(self)(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))


@dataclass(frozen=True)
class BertBatch(_Rows):
    """Rows for masked-LM and sentence order; an empty row is padding in segment 0 with all weights 0."""

    tokens: NDArray[np.int64]
    """[R, S] token ids after masking; padding behind the samples."""
    segment_ids: NDArray[np.int32]
    """[R, S] number of the sample inside its row, from 1; 0 is padding. Attention stays inside a number."""
    position_ids: NDArray[np.int64]
    """[R, S] position inside the sample; 0 on padding."""
    tokentype_ids: NDArray[np.int64]
    """[R, S] 0 for [CLS] A [SEP], 1 for B [SEP]."""
    masked_positions: NDArray[np.int64]
    """[R, M] columns to predict, ascending; unused slots are 0."""
    masked_labels: NDArray[np.int64]
    """[R, M] the original tokens there; unused slots are 0."""
    masked_weights: NDArray[np.float32]
    """[R, M] 1 for a prediction, 0 for an unused slot."""
    cls_positions: NDArray[np.int64]
    """[R, K] column of each sample's [CLS]; unused slots are 0."""
    order_labels: NDArray[np.int64]
    """[R, K] 1 when the two parts of the sample were swapped (Megatron's `is_random`), else 0."""
    order_weights: NDArray[np.float32]
    """[R, K] 1 for a sample of two parts, 0 for a sample of one sentence and for unused slots."""
    sample_ids: NDArray[np.int64]
    """[R] global sample index, the row's key for dropout; -1 for an empty row."""

    @property
    def real_tokens(self) -> int:
        """Positions that are not padding."""
        return int(np.count_nonzero(self.segment_ids))

    @property
    def predicted(self) -> int:
        """Masked positions that count in the loss."""
        return int(np.count_nonzero(self.masked_weights))

    @property
    def ordered(self) -> int:
        """Samples with a sentence-order label."""
        return int(np.count_nonzero(self.order_weights))


@dataclass(frozen=True)
class GptBatch(_Rows):
    """Rows for next-token prediction; an empty row is padding in segment 0 with all weights 0."""

    tokens: NDArray[np.int64]
    """[R, S] token ids."""
    segment_ids: NDArray[np.int32]
    """[R, S] from 1; 0 is an empty row. All 1, or the number of the document inside its row after a reset."""
    position_ids: NDArray[np.int64]
    """[R, S] position inside the row, or inside the document after a reset."""
    labels: NDArray[np.int64]
    """[R, S] the next token."""
    label_weights: NDArray[np.float32]
    """[R, S] 1 for a prediction; 0 in an empty row and, after a reset, where the label starts another document."""
    sample_ids: NDArray[np.int64]
    """[R] global sample index, the row's key for dropout; -1 for an empty row."""

    @property
    def real_tokens(self) -> int:
        """Positions that are not padding."""
        return int(np.count_nonzero(self.segment_ids))

    @property
    def predicted(self) -> int:
        """Positions that count in the loss."""
        return int(np.count_nonzero(self.label_weights))
