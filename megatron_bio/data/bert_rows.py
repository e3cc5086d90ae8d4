"""BERT samples to rows of tokens: [CLS] A [SEP] B [SEP], before masking.

What the model learns of the order of A and B is the sentence order: `sop` (Lan et al. 2020, and Megatron) exchanges them,
`nsp` (Devlin et al. 2019) puts a text of another document in the place of B, `none` leaves the sample one text without B.

Legend of shapes: N samples, R rows, S sequence length, K most samples of a row, T tokens of the N samples together.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.bert_samples import BertSamples
from megatron_bio.data.randomness import Purpose, integers, uniform
from megatron_bio.data.sources import TokenSource

SentenceOrder = Literal["sop", "nsp", "none"]

_DRAWS_OF_ANOTHER_TEXT = 4
"""How often a text of another document is looked for; in a corpus of one document there is none."""


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Token ids that rows are framed, masked and filled with."""

    cls: int
    sep: int
    mask: int
    pad: int


@dataclass(frozen=True)
class CutSamples:
    """N samples with their tokens in the order of the document, and how each becomes a sentence pair."""

    tokens: NDArray[np.int64]
    """[T] tokens, sample after sample."""
    lengths: NDArray[np.int64]
    """[N] tokens of each sample."""
    pivots: NDArray[np.int64]
    """[N] tokens before the cut, which is a sentence bound; the length for a sample of one text."""
    swapped: NDArray[np.bool_]
    """[N] whether A is the part behind the cut; never for a sample of one text."""
    order_labels: NDArray[np.bool_]
    """[N] whether the parts are swapped, or the second is of another document; never for a sample of one text."""

    @property
    def paired(self) -> NDArray[np.bool_]:
        """[N] whether the sample has two parts."""
        return self.pivots < self.lengths

    @property
    def widths(self) -> NDArray[np.int64]:
        """[N] positions of each sample, special tokens included."""
        return self.lengths + 2 + self.paired


@dataclass(frozen=True)
class Placement:
    """Where each sample starts; none overlaps the next."""

    rows: int
    row: NDArray[np.int64]
    """[N] row of each sample, ascending."""
    column: NDArray[np.int64]
    """[N] column of its [CLS]."""
    number: NDArray[np.int64]
    """[N] number of the sample inside its row, from 1."""

    @classmethod
    def side_by_side(cls, row: NDArray[np.int64], rows: int, widths: NDArray[np.int64]) -> "Placement":
        """Place samples of these [N] widths in their [N] rows, which ascend, one directly behind the other."""
        firsts = np.searchsorted(row, row)
        before = np.cumsum(widths) - widths
        return cls(rows, row, before - before[firsts], np.arange(len(row)) - firsts + 1)


@dataclass(frozen=True)
class Layout:
    """The fields of a BertBatch that do not depend on masking; [R, S] and [R, K] as described there."""

    tokens: NDArray[np.int64]
    segment_ids: NDArray[np.int32]
    position_ids: NDArray[np.int64]
    tokentype_ids: NDArray[np.int64]
    cls_positions: NDArray[np.int64]
    order_labels: NDArray[np.int64]
    order_weights: NDArray[np.float32]


def cut_samples(
    source: TokenSource,
    samples: BertSamples,
    chosen: NDArray[np.int64],
    epochs: NDArray[np.int64],
    seed: int,
    order: SentenceOrder = "sop",
) -> CutSamples:
    """Read the samples numbered `chosen`, cut each at one of its inner sentence bounds and put half of them out of order.

    Bound and order depend on (seed, epoch, sample); all bounds of a sample are equally probable. With nsp the second part of
    half of the pairs is the beginning of a sample of another document, as much of it as the part that it replaces has tokens
    or less. With none each sample is one text.
    """
    firsts, offsets = samples.first_sequence[chosen], samples.first_offset[chosen].astype(np.int64)
    lengths, sequences = samples.lengths[chosen].astype(np.int64), samples.sequences[chosen].astype(np.int64)
    starts = source.sequence_pointers[firsts] // source.dtype.itemsize + offsets
    bounds = sequences - 1 if order != "none" else np.zeros_like(sequences)
    paired = bounds > 0
    after = firsts + np.minimum(bounds, 1) + integers(bounds, seed, Purpose.PIVOT, epochs, chosen)
    pivots = np.where(paired, source.sequence_pointers[after] // source.dtype.itemsize - starts, lengths)
    labels = paired & (uniform(seed, Purpose.SWAP, epochs, chosen) < 0.5)
    swapped = labels if order == "sop" else np.zeros_like(labels)
    others = _samples_of_other_documents(source, samples, chosen, epochs, seed) if order == "nsp" else None
    if others is None:
        tokens = _read_beginnings(source, samples, chosen, lengths)
    else:
        labels &= others >= 0
        taken = np.where(labels, np.minimum(samples.lengths[others], lengths - pivots), 0)
        own = np.where(labels, pivots, lengths)
        tokens = _read_beginnings(
            source,
            samples,
            np.column_stack([chosen, others]).reshape(-1),
            np.column_stack([own, taken]).reshape(-1),
        )
        lengths = own + taken
    return CutSamples(tokens, lengths, np.where(paired, pivots, lengths), swapped, labels)


def _samples_of_other_documents(
    source: TokenSource,
    samples: BertSamples,
    chosen: NDArray[np.int64],
    epochs: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Return for each of `chosen` a sample of another document, or -1 if all draws hit its own."""
    documents = _documents_of(source, samples, chosen)
    found = np.full_like(chosen, -1)
    for draw in range(_DRAWS_OF_ANOTHER_TEXT):
        drawn = integers(len(samples), seed, Purpose.ANOTHER_TEXT, epochs, chosen, draw)
        is_new = (found < 0) & (_documents_of(source, samples, drawn) != documents)
        found = np.where(is_new, drawn, found)
    return found


def _documents_of(source: TokenSource, samples: BertSamples, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(source.document_indices, samples.first_sequence[chosen], side="right")


def _read_beginnings(
    source: TokenSource, samples: BertSamples, chosen: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the first `lengths` tokens of each of the samples `chosen`, back to back."""
    parts = [np.empty(0, dtype=source.dtype)]
    columns = samples.first_sequence[chosen], samples.first_offset[chosen], samples.sequences[chosen], lengths
    for first, offset, count, length in zip(*(column.tolist() for column in columns), strict=True):
        if length:
            parts.append(source.sequences(first, first + count)[offset : offset + length])
    return np.concatenate(parts).astype(np.int64)


def lay_out(
    cut: CutSamples, place: Placement, sequence_length: int, special: SpecialTokens, max_samples_per_row: int
) -> Layout:
    """Write the samples into rows: [CLS] A [SEP] B [SEP], or [CLS] A [SEP] for a sample of one text.

    Order label 1 means that the parts are not A and what follows it (Megatron's `is_random`). Samples of one text have order
    weight 0. Everything around the samples is padding in segment 0. max_samples_per_row: K, which no row exceeds.
    """
    cells = place.rows * sequence_length
    starts = place.row * sequence_length + place.column
    in_first_part = np.where(cut.swapped, cut.lengths - cut.pivots, cut.pivots)
    widths = cut.lengths + 2 + cut.paired

    tokens = np.full(cells, special.pad, dtype=np.int64)
    tokens[starts] = special.cls
    tokens[starts + 1 + in_first_part] = special.sep
    tokens[starts + widths - 1] = special.sep
    tokens[np.repeat(starts, cut.lengths) + _columns_of_tokens(cut)] = cut.tokens

    within = _count_up(widths)
    filled = np.repeat(starts, widths) + within
    segment_ids = np.zeros(cells, dtype=np.int32)
    position_ids = np.zeros(cells, dtype=np.int64)
    tokentype_ids = np.zeros(cells, dtype=np.int64)
    segment_ids[filled] = np.repeat(place.number, widths)
    position_ids[filled] = within
    tokentype_ids[filled] = within >= np.repeat(in_first_part + 2, widths)

    cls_positions = np.zeros((place.rows, max_samples_per_row), dtype=np.int64)
    order_labels = np.zeros((place.rows, max_samples_per_row), dtype=np.int64)
    order_weights = np.zeros((place.rows, max_samples_per_row), dtype=np.float32)
    slots = place.row, place.number - 1
    cls_positions[slots], order_labels[slots], order_weights[slots] = (
        place.column,
        cut.order_labels,
        cut.paired,
    )
    shape = place.rows, sequence_length
    return Layout(
        tokens.reshape(shape),
        segment_ids.reshape(shape),
        position_ids.reshape(shape),
        tokentype_ids.reshape(shape),
        cls_positions,
        order_labels,
        order_weights,
    )


def _columns_of_tokens(cut: CutSamples) -> NDArray[np.int64]:
    """[T] column of each token, counted from its sample's [CLS]."""
    index = _count_up(cut.lengths)
    pivots = np.repeat(cut.pivots, cut.lengths)
    behind = index >= pivots
    straight = 1 + index + behind
    if not cut.swapped.any():
        return straight
    later_part = np.repeat(cut.lengths - cut.pivots, cut.lengths)
    crossed = np.where(behind, 1 + index - pivots, 2 + later_part + index)
    return np.where(np.repeat(cut.swapped, cut.lengths), crossed, straight)


def _count_up(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 ... c - 1 for each count c, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
