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
from megatron_bio.data.sources import TokenSource, token_files

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
class Pairs:
    """Which tokens of the source make up N samples, and what the model shall say of their order; no token is read."""

    starts: NDArray[np.int64]
    """[N, 2] token of the source with which the parts A and B of each sample start."""
    lengths: NDArray[np.int64]
    """[N, 2] tokens of the parts; B has none in a sample of one text."""
    order_labels: NDArray[np.bool_]
    """[N] whether the parts are swapped, or the second is of another document; never for a sample of one text."""

    @property
    def paired(self) -> NDArray[np.bool_]:
        """[N] whether the sample has two parts."""
        return self.lengths[:, 1] > 0

    @property
    def widths(self) -> NDArray[np.int64]:
        """[N] positions of each sample, special tokens included."""
        return np.asarray(self.lengths.sum(axis=1) + 2 + self.paired)


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


def pair_up(
    source: TokenSource,
    samples: BertSamples,
    chosen: NDArray[np.int64],
    epochs: NDArray[np.int64],
    seed: int,
    order: SentenceOrder = "sop",
) -> Pairs:
    """Cut each of the samples numbered `chosen` at one of its inner sentence bounds and put half of them out of order.

    Bound and order depend on (seed, epoch, sample); all bounds of a sample are equally probable. With nsp the second part of
    half of the pairs is the beginning of a sample of another document, as much of it as the part that it replaces has tokens
    or less. With none each sample is one text.
    """
    firsts, lengths = samples.first_sequence[chosen], samples.lengths[chosen].astype(np.int64)
    bounds = samples.sequences[chosen].astype(np.int64) - 1 if order != "none" else np.zeros_like(lengths)
    paired = bounds > 0
    after = firsts + np.minimum(bounds, 1) + integers(bounds, seed, Purpose.PIVOT, epochs, chosen)
    starts = _first_tokens(source, samples, chosen)
    pivots = np.where(paired, source.sequence_pointers[after] // source.dtype.itemsize - starts, lengths)
    begins = np.stack([starts, starts + pivots], axis=1)
    sizes = np.stack([pivots, lengths - pivots], axis=1)
    labels = paired & (uniform(seed, Purpose.SWAP, epochs, chosen) < 0.5)
    if order == "sop":
        swapped = labels[:, None]
        begins = np.where(swapped, begins[:, ::-1], begins)
        sizes = np.where(swapped, sizes[:, ::-1], sizes)
    elif order == "nsp":
        others = _samples_of_other_documents(source, samples, chosen, epochs, seed)
        labels &= others >= 0
        begins[labels, 1] = _first_tokens(source, samples, others[labels])
        sizes[labels, 1] = np.minimum(samples.lengths[others[labels]], sizes[labels, 1])
    return Pairs(begins, sizes, labels)


def _first_tokens(source: TokenSource, samples: BertSamples, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tokens of the source before each of the samples `chosen`."""
    before = source.sequence_pointers[samples.first_sequence[chosen]] // source.dtype.itemsize
    return np.asarray(before + samples.first_offset[chosen])


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


def read_tokens(source: TokenSource, pairs: Pairs) -> NDArray[np.int64]:
    """Return [T] the tokens of the samples, part A before part B, sample after sample."""
    files = token_files(source)
    first = np.cumsum([0, *map(len, files[:-1])])
    starts, lengths = pairs.starts.reshape(-1), pairs.lengths.reshape(-1)
    owners = np.searchsorted(first, starts, side="right") - 1
    parts = [np.empty(0, dtype=source.dtype)]
    for owner, begin, length in zip(
        owners.tolist(), (starts - first[owners]).tolist(), lengths.tolist(), strict=True
    ):
        parts.append(files[owner][begin : begin + length])
    return np.concatenate(parts).astype(np.int64)


def lay_out(
    text: NDArray[np.int64],
    pairs: Pairs,
    place: Placement,
    sequence_length: int,
    special: SpecialTokens,
    max_samples_per_row: int,
) -> Layout:
    """Write the samples into rows: [CLS] A [SEP] B [SEP], or [CLS] A [SEP] for a sample of one text.

    Order label 1 means that the parts are not A and what follows it (Megatron's `is_random`). Samples of one text have order
    weight 0. Everything around the samples is padding in segment 0. text: [T] as `read_tokens` gives it.
    max_samples_per_row: K, which no row exceeds.
    """
    cells = place.rows * sequence_length
    starts = place.row * sequence_length + place.column
    in_first_part, lengths, widths = pairs.lengths[:, 0], pairs.lengths.sum(axis=1), pairs.widths

    tokens = np.full(cells, special.pad, dtype=np.int64)
    tokens[starts] = special.cls
    tokens[starts + 1 + in_first_part] = special.sep
    tokens[starts + widths - 1] = special.sep
    index = _count_up(lengths)
    tokens[np.repeat(starts, lengths) + 1 + index + (index >= np.repeat(in_first_part, lengths))] = text

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
        pairs.order_labels,
        pairs.paired,
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


def _count_up(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 ... c - 1 for each count c, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
