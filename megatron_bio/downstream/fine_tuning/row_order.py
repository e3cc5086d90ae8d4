"""In which order rows are trained on: a pure function of seed and epoch, the same for any number of ranks."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from megatron_bio.downstream.tasks.form import LOSS_IGNORES, HeadKind, Row

_BATCHES_SORTED_TOGETHER = 50
"""As transformers groups rows by length: enough that rows of a batch are alike, few enough that epochs differ."""


class RowOrder(Sampler[int]):
    """Every pass gives each row as often as `rows` names it, those of a batch being of about the same length."""

    def __init__(self, rows: Sequence[int], lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """`rows`: numbers of rows, repeated for oversampling; `lengths`: pieces of every row that there is."""
        self._rows, self._lengths = np.asarray(rows), np.asarray(lengths)
        self._batch_size, self._seed = batch_size, seed
        self._passes = 0

    def __len__(self) -> int:
        """Rows of an epoch."""
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        """The next epoch."""
        self._passes += 1
        return iter(self.epoch(self._passes - 1))

    def epoch(self, number: int) -> list[int]:
        """The rows of one epoch, from 0. The batch that may be too small is the last."""
        draw = np.random.default_rng((self._seed, number))
        rows = draw.permutation(self._rows)
        whole = len(rows) // self._batch_size * self._batch_size
        together = self._batch_size * _BATCHES_SORTED_TOGETHER
        groups = [rows[start : min(start + together, whole)] for start in range(0, whole, together)]
        ordered = [group[np.argsort(self._lengths[group], kind="stable")] for group in groups]
        batches = np.concatenate(ordered or [rows[:0]]).reshape(-1, self._batch_size)
        return [*draw.permutation(batches).ravel().tolist(), *rows[whole:].tolist()]


def oversampled(features: Sequence[Row], kind: HeadKind, outside: int) -> list[int]:
    """Numbers of rows, so repeated that the kinds of rows become equally frequent, to within one.

    With the head "sequence" a row's kind is its label; with "tokens" whether it has a label other than `outside`. Nothing is left
    out. Other heads have no labels to be unequal.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(features):
        members[_kind_of(row, kind, outside)].append(number)
    most = max((len(rows) for rows in members.values()), default=0)
    return sorted(row for rows in members.values() for row in (rows * (most // len(rows) + 1))[:most])


def _kind_of(row: Row, kind: HeadKind, outside: int) -> int:
    if kind == "sequence":
        return int(row["labels"])
    if kind == "tokens":
        return int(any(label not in (outside, LOSS_IGNORES) for label in row["labels"]))
    return 0


def label_counts(features: Sequence[Row]) -> Counter[int]:
    """How many rows or pieces have each label; those without a loss are not counted."""
    counts: Counter[int] = Counter()
    for row in features:
        counts.update(row["labels"] if isinstance(row["labels"], list) else [row["labels"]])
    del counts[LOSS_IGNORES]
    return counts
