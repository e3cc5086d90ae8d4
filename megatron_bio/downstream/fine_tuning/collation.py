"""Rows of different lengths to tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from megatron_bio.downstream.tasks.form import LOSS_IGNORES, Row

_OF_PIECES = ("input_ids", "token_type_ids")
_NUMBERS = ("start_positions", "end_positions")


@dataclass(frozen=True)
class Collator:
    """Pads rows at their ends to the longest one; a mask says what is there."""

    pad: int
    """Number of the piece that fills up."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Give `input_ids`, `attention_mask` and what else the rows have, as the arguments of Classifier.forward."""
        if isinstance(rows[0]["input_ids"][0], list):
            return self._choices(rows)
        batch = self._pieces(rows)
        if "labels" in rows[0]:
            labels = [row["labels"] for row in rows]
            batch["labels"] = (
                _padded(labels, LOSS_IGNORES) if isinstance(labels[0], list) else torch.tensor(labels)
            )
        batch.update({key: torch.tensor([row[key] for row in rows]) for key in _NUMBERS if key in rows[0]})
        return batch

    def _pieces(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        batch = {
            key: _padded([row[key] for row in rows], self.pad if key == "input_ids" else 0)
            for key in _OF_PIECES
            if key in rows[0]
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        batch["attention_mask"] = (torch.arange(batch["input_ids"].shape[1]) < lengths[:, None]).long()
        return batch

    def _choices(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Options become rows; a question with fewer than the others gets copies of its first, which the mask excludes."""
        most = max(len(row["input_ids"]) for row in rows)
        present = torch.tensor([[option < len(row["input_ids"]) for option in range(most)] for row in rows])
        flat = [
            {
                key: row[key][option if option < len(row["input_ids"]) else 0]
                for key in _OF_PIECES
                if key in row
            }
            for row in rows
            for option in range(most)
        ]
        batch = {key: values.view(len(rows), most, -1) for key, values in self._pieces(flat).items()}
        batch["option_mask"] = present
        if "labels" in rows[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in rows])
        return batch


def row_length(row: Row) -> int:
    """Pieces of a row, of its longest option if it has some."""
    pieces = row["input_ids"]
    return max(map(len, pieces)) if pieces and isinstance(pieces[0], list) else len(pieces)


def _padded(values: Sequence[Sequence[int]], fill: int) -> Tensor:
    longest = max(map(len, values))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in values])
