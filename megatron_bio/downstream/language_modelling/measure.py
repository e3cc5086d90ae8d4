"""Documents → what predicting them costs, group by group.

A group is the same whatever was computed before it, so an interrupted run that goes on gives the same numbers.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from megatron_bio.config.errors import UserError
from megatron_bio.downstream.language_modelling.documents import HeldOut
from megatron_bio.downstream.language_modelling.model import LanguageModel
from megatron_bio.downstream.language_modelling.rows import (
    DocumentRows,
    Row,
    RowMaker,
    TokenizedDocument,
)
from megatron_bio.downstream.language_modelling.unfinished import Group, Measured

GROUP_ROWS = 256
"""Rows that are sorted by length together: enough for little padding, few enough to lose little at a kill."""


@dataclass
class _Open:
    """A group that is being filled."""

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    documents: list[tuple[HeldOut, TokenizedDocument, DocumentRows]] = field(default_factory=list)
    rows: int = 0


def measure(
    model: LanguageModel,
    maker: RowMaker,
    documents: Iterable[HeldOut],
    batch_size: int,
    show: Callable[[int], None],
) -> Iterator[Group]:
    """Give the numbers of the documents in order; `show` is told how much of the files is done, in bytes."""
    group, done = _Open(), 0
    for document in documents:
        group.read += 1
        if document.left_out is not None:
            group.left_out[document.left_out] += 1
        else:
            tokenized = model.tokenize(document.text)
            made = maker.rows_of(tokenized)
            group.documents.append((document, tokenized, made))
            group.rows += len(made.rows)
        if group.rows >= GROUP_ROWS:
            yield _computed(model, group, batch_size, _part(show, done, document.read_bytes))
            group, done = _Open(), document.read_bytes
    if group.read:
        yield _computed(model, group, batch_size, lambda share: None)


def _part(show: Callable[[int], None], done: int, target: int) -> Callable[[float], None]:
    return lambda share: show(done + int(share * (target - done)))


def _computed(model: LanguageModel, group: _Open, batch_size: int, show: Callable[[float], None]) -> Group:
    rows = [row for _, _, made in group.documents for row in made.rows]
    nats, right = _scores(model, rows, batch_size, show)
    measured, first = [], 0
    for document, tokenized, made in group.documents:
        end = first + len(made.rows)
        total = made.assumed_nats + math.fsum(nats[first:end])
        if not math.isfinite(total):
            raise UserError(
                f"{document.place}: the model gives numbers that are not finite. Numbers above 65504 overflow in fp16: give "
                f"--precision bf16 or fp32. If it is fp32, the weights themselves are broken."
            )
        measured.append(
            Measured(
                id=document.id,
                bytes=len(document.text.encode()),
                pieces=len(tokenized.ids),
                unknown=sum(piece == model.tokenizer.unk_token_id for piece in tokenized.ids),
                tokens=made.assumed_tokens + sum(len(row.targets) for row in made.rows),
                nats=total,
                right=sum(right[first:end]),
                words=made.words,
                predicted_bytes=made.predicted_bytes,
            )
        )
        first = end
    return Group(read=group.read, left_out=dict(group.left_out), documents=measured)


def _scores(
    model: LanguageModel, rows: Sequence[Row], batch_size: int, show: Callable[[float], None]
) -> tuple[list[float], list[int]]:
    """Return nats and right predictions of each row; they are computed from the longest to the shortest."""
    nats, right = [0.0] * len(rows), [0] * len(rows)
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number].ids))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        scored = model.score([rows[number] for number in batch])
        for number, row_nats, row_right in zip(batch, scored.nats, scored.right, strict=True):
            nats[number], right[number] = row_nats, row_right
        show((first + len(batch)) / len(order))
    return nats, right
