"""BERT samples to rows of tokens: [CLS] A [SEP] B [SEP], before masking.

Legend of shapes: N samples, R rows, S sequence length, K most samples of a row, T tokens of the N samples together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.bert_samples import BertSamples
from megatron_bio.data.randomness import Purpose, integers, uniform
from megatron_bio.data.sources import TokenSource

MAX_SAMPLES_PER_ROW = 1
"""K: most samples of one row."""


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
    """[N] tokens before the cut, which is a sentence bound; the length for a sample of one sentence."""
    swapped: NDArray[np.bool_]
    """[N] whether A is the part behind the cut; never for a sample of one sentence."""

    @property
    def paired(self) -> NDArray[np.bool_]:
        """[N] whether the sample has two parts."""
        return self.pivots < self.lengths


@dataclass(frozen=True)
class Placement:
    """Where each sample starts. No row holds more than MAX_SAMPLES_PER_ROW, and none overlaps the next."""

    rows: int
    row: NDArray[np.int64]
    """[N] row of each sample."""
    column: NDArray[np.int64]
    """[N] column of its [CLS]."""
    number: NDArray[np.int64]
    """[N] number of the sample inside its row, from 1."""

    @classmethod
    def one_per_row(cls, row: NDArray[np.int64], rows: int) -> "Placement":
        """Place each sample alone at the start of its row."""
        return cls(rows, row, np.zeros_like(row), np.ones_like(row))


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


@dataclass(frozen=True)
class Cuts:
    """Where in the source N samples lie, and how each becomes a sentence pair; no token is read."""

    starts: NDArray[np.int64]
    """[N] token of the source with which each sample starts."""
    lengths: NDArray[np.int64]
    """[N] as in CutSamples, like the other two."""
    pivots: NDArray[np.int64]
    swapped: NDArray[np.bool_]

    @property
    def paired(self) -> NDArray[np.bool_]:
        """[N] whether the sample has two parts."""
        return self.pivots < self.lengths

    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for the parts A and B of each sample the starts in the source [N, 2] and the lengths [N, 2]."""
        starts = np.stack([self.starts, self.starts + self.pivots], axis=1)
        lengths = np.stack([self.pivots, self.lengths - self.pivots], axis=1)
        swapped = self.swapped[:, None]
        return np.where(swapped, starts[:, ::-1], starts), np.where(swapped, lengths[:, ::-1], lengths)


def find_cuts(
    source: TokenSource,
    samples: BertSamples,
    chosen: NDArray[np.int64],
    epochs: NDArray[np.int64],
    seed: int,
) -> Cuts:
    """Cut each of the samples numbered `chosen` at one of its inner sentence bounds and swap the parts of half.

    Bound and swap depend on (seed, epoch, sample); all bounds of a sample are equally probable.
    """
    firsts, offsets = samples.first_sequence[chosen], samples.first_offset[chosen].astype(np.int64)
    lengths = samples.lengths[chosen].astype(np.int64)
    bounds = samples.sequences[chosen].astype(np.int64) - 1
    paired = bounds > 0
    after = firsts + np.minimum(bounds, 1) + integers(bounds, seed, Purpose.PIVOT, epochs, chosen)
    pointers, size = source.sequence_pointers, source.dtype.itemsize
    starts = pointers[firsts] // size + offsets
    return Cuts(
        starts,
        lengths,
        np.where(paired, pointers[after] // size - starts, lengths),
        paired & (uniform(seed, Purpose.SWAP, epochs, chosen) < 0.5),
    )


def cut_samples(
    source: TokenSource,
    samples: BertSamples,
    chosen: NDArray[np.int64],
    epochs: NDArray[np.int64],
    seed: int,
) -> CutSamples:
    """Read the samples numbered `chosen`, cut and swapped as `find_cuts` says."""
    cuts = find_cuts(source, samples, chosen, epochs, seed)
    firsts, offsets = samples.first_sequence[chosen], samples.first_offset[chosen]
    parts = [np.empty(0, dtype=source.dtype)]
    for first, offset, count, length in zip(
        firsts.tolist(),
        offsets.tolist(),
        samples.sequences[chosen].tolist(),
        cuts.lengths.tolist(),
        strict=True,
    ):
        parts.append(source.sequences(first, first + count)[offset : offset + length])
    return CutSamples(np.concatenate(parts).astype(np.int64), cuts.lengths, cuts.pivots, cuts.swapped)


def lay_out(cut: CutSamples, place: Placement, sequence_length: int, special: SpecialTokens) -> Layout:
    """Write the samples into rows: [CLS] A [SEP] B [SEP], or [CLS] A [SEP] for a sample of one sentence.

    Order label 1 means swapped: A is the later part (Megatron's `is_random`). Samples of one sentence have order
    weight 0. Everything around the samples is padding in segment 0.
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

    cls_positions = np.zeros((place.rows, MAX_SAMPLES_PER_ROW), dtype=np.int64)
    order_labels = np.zeros((place.rows, MAX_SAMPLES_PER_ROW), dtype=np.int64)
    order_weights = np.zeros((place.rows, MAX_SAMPLES_PER_ROW), dtype=np.float32)
    slots = place.row, place.number - 1
    cls_positions[slots], order_labels[slots], order_weights[slots] = place.column, cut.swapped, cut.paired
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
