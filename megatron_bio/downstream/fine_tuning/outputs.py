"""What a model gave for padded batches, back to one array a row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from megatron_bio.downstream.fine_tuning.collation import row_length
from megatron_bio.downstream.tasks.form import HeadKind, Logits, Row


class SortedRows(Sequence[Row]):
    """Rows in the order of their lengths, so that a batch has little padding."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """The rows stay as they are."""
        self._rows = rows
        self.order = sorted(range(len(rows)), key=lambda number: -row_length(rows[number]))
        """Numbers of the rows, the longest first: memory is at its highest at once."""

    def __len__(self) -> int:
        """All rows."""
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        """The row at a place of the new order."""
        return self._rows[self.order[place]]


def outputs_of(predicted: Any, rows: SortedRows, kind: HeadKind) -> list[Logits]:
    """Logits of transformers' `predict` [rows, …], padded, in the order of `rows` → one array for each row in its first order.

    tokens: [pieces, labels]; sequence: [labels]; spans: [2, pieces]; choices: [options].
    """
    padded = np.asarray(predicted, dtype=np.float32)
    result: list[Logits | None] = [None] * len(rows)
    for place, number in enumerate(rows.order):
        found = padded[place]
        if kind != "sequence":
            found = found[: len(rows[place]["input_ids"])]
        result[number] = found.T if kind == "spans" else found
    return [found for found in result if found is not None]
