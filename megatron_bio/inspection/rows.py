"""What is in a row of a batch, sample by sample, as names, numbers and text; JSON can hold all of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.batch import BertBatch, GptBatch
from megatron_bio.inspection.pieces import Pieces

TokenKind = Literal["text", "special", "mask", "random", "kept"]
ORDER_LABELS = MappingProxyType(
    {"sop": ("in order", "swapped"), "nsp": ("next", "another document's"), "none": ("none", "none")}
)
"""What the labels 0 and 1 say of the two parts of a sample, by data.sentence_order."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token of a sample."""

    column: int
    kind: TokenKind
    """mask, random and kept are predicted: [MASK], a random token or the token itself stands there."""
    text: str
    """What the original token adds to the text."""
    original: str
    """The piece that the text has there."""
    shown: str
    """The piece that the model sees."""


@dataclass(frozen=True, kw_only=True)
class BertSample:
    """[CLS] A [SEP] B [SEP], or [CLS] A [SEP]."""

    columns: tuple[int, int]
    """First column and the one behind the last."""
    document: int | None
    """Number in the token data of the document that it begins in, those of several prefixes counted through; None where
    corpora are blended."""
    order_label: str
    """What label 0 or 1 means, see `ORDER_LABELS`; none for a sample of weight 0, which has no label."""
    order_weight: float
    predictions: int
    parts: list[str]
    """Text of A and B, as it was before masking."""
    tokens: list[Token]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What rows of both kinds have."""

    global_sample: int
    step: int | None
    length: int
    real_tokens: int
    fill: float
    """Real tokens as a part of the row's length."""
    predictions: int


@dataclass(frozen=True, kw_only=True)
class BertRow(_Row):
    """One row of a BERT batch."""

    slots: int
    """Room for predictions, used or not."""
    samples: list[BertSample]


@dataclass(frozen=True, kw_only=True)
class GptPart:
    """A document, or the part of one, inside a row."""

    columns: tuple[int, int]
    """First column and the one behind the last."""
    first_position: int
    """Position id of its first token."""
    attends_from: int
    """First column that its tokens attend to."""
    ends: bool
    """Whether its last token is the one that ends a document."""
    predictions: int
    text: str


@dataclass(frozen=True, kw_only=True)
class GptRow(_Row):
    """One row of a GPT batch."""

    parts: list[GptPart]


def bert_rows(
    batch: BertBatch,
    pieces: Pieces,
    steps: Sequence[int | None],
    documents: Sequence[Sequence[int]] | None,
    sentence_order: str,
) -> Iterator[BertRow]:
    """Describe each row of a batch; `steps` are the steps that read them, `documents` those of each row's samples."""
    for row, step in enumerate(steps):
        segments = batch.segment_ids[row]
        real = int(np.count_nonzero(segments))
        yield BertRow(
            global_sample=int(batch.sample_ids[row]),
            step=step,
            length=len(segments),
            real_tokens=real,
            fill=round(real / len(segments), 4),
            predictions=int(np.count_nonzero(batch.masked_weights[row])),
            slots=batch.masked_weights.shape[1],
            samples=[
                _bert_sample(
                    batch,
                    row,
                    number,
                    pieces,
                    documents[row][number] if documents is not None else None,
                    ORDER_LABELS[sentence_order],
                )
                for number in range(int(segments.max()))
            ],
        )


def _bert_sample(
    batch: BertBatch, row: int, number: int, pieces: Pieces, document: int | None, order: tuple[str, str]
) -> BertSample:
    """Describe sample `number` of a row, counted from 0."""
    start, stop = _columns(batch.segment_ids[row], number + 1)
    used = batch.masked_weights[row] > 0
    positions, labels = batch.masked_positions[row][used], batch.masked_labels[row][used]
    own = (positions >= start) & (positions < stop)
    predicted = dict(zip(positions[own].tolist(), labels[own].tolist(), strict=True))
    seen = batch.tokens[row, start:stop].tolist()
    original = [predicted.get(start + place, token) for place, token in enumerate(seen)]
    tokens = [
        Token(
            column=start + place,
            kind=_kind(was, now, start + place in predicted, pieces),
            text=text,
            original=pieces.name(was),
            shown=pieces.name(now),
        )
        for place, (was, now, text) in enumerate(zip(original, seen, pieces.texts(original), strict=True))
    ]
    weight = float(batch.order_weights[row, number])
    return BertSample(
        columns=(start, stop),
        document=document,
        order_label=order[int(batch.order_labels[row, number])] if weight else "none",
        order_weight=weight,
        predictions=len(predicted),
        parts=_parts(original, batch.tokentype_ids[row, start:stop], pieces),
        tokens=tokens,
    )


def _kind(was: int, now: int, predicted: bool, pieces: Pieces) -> TokenKind:
    if not predicted:
        return "special" if pieces.is_special(now) else "text"
    if now == pieces.tokenizer.mask:
        return "mask"
    return "kept" if now == was else "random"


def _parts(original: list[int], types: NDArray[np.int64], pieces: Pieces) -> list[str]:
    texts = []
    for kind in range(int(types.max()) + 1):
        ids = [
            token
            for token, own in zip(original, types.tolist(), strict=True)
            if own == kind and token not in (pieces.tokenizer.cls, pieces.tokenizer.sep)
        ]
        texts.append("".join(pieces.texts(ids)).strip())
    return texts


def gpt_rows(batch: GptBatch, pieces: Pieces, steps: Sequence[int | None]) -> Iterator[GptRow]:
    """Describe each row of a batch; `steps` are the steps that read them.

    A part ends behind each token that ends a document and, after a reset, where another segment begins.
    """
    for row, step in enumerate(steps):
        segments = batch.segment_ids[row]
        real = int(np.count_nonzero(segments))
        behind_end = batch.tokens[row, : real - 1] == pieces.tokenizer.eod
        begins = np.flatnonzero(behind_end | (segments[1:real] != segments[: real - 1])) + 1
        bounds = [0, *begins.tolist(), real] if real else []
        yield GptRow(
            global_sample=int(batch.sample_ids[row]),
            step=step,
            length=len(segments),
            real_tokens=real,
            fill=round(real / len(segments), 4),
            predictions=int(np.count_nonzero(batch.label_weights[row])),
            parts=[_gpt_part(batch, row, start, stop, pieces) for start, stop in pairwise(bounds)],
        )


def _gpt_part(batch: GptBatch, row: int, start: int, stop: int, pieces: Pieces) -> GptPart:
    ids = batch.tokens[row, start:stop].tolist()
    ends = ids[-1] == pieces.tokenizer.eod
    return GptPart(
        columns=(start, stop),
        first_position=int(batch.position_ids[row, start]),
        attends_from=_columns(batch.segment_ids[row], int(batch.segment_ids[row, start]))[0],
        ends=ends,
        predictions=int(np.count_nonzero(batch.label_weights[row, start:stop])),
        text="".join(pieces.texts(ids[:-1] if ends else ids)),
    )


def _columns(segments: NDArray[np.int32], number: int) -> tuple[int, int]:
    """Return the first column of a segment and the one behind its last."""
    columns = np.flatnonzero(segments == number)
    return int(columns[0]), int(columns[-1]) + 1
