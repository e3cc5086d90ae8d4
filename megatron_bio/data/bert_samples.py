"""Documents of sentences to BERT samples: which sentences each sample holds, fixed by the seed for all epochs.

Here each sample is as long as a row holds and is alone in it; `packing` puts several into one.

Legend of shapes: N samples, R rows; a piece is a sentence, or a part of one that is longer than a whole sample.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.randomness import Purpose, uniform

_SEQUENCES_AT_ONCE = 1 << 20


def longest_text(sequence_length: int, paired: bool) -> int:
    """Return the most tokens of a sample: its row less [CLS] A [SEP] B [SEP], or less [CLS] A [SEP]."""
    return sequence_length - (3 if paired else 2)


@dataclass(frozen=True, kw_only=True)
class BertCounts:
    """What became of the documents; nothing is dropped, so the tokens of the samples are those of the documents."""

    documents: int = 0
    empty_documents: int = 0
    sentences: int = 0
    empty_sentences: int = 0
    split_sentences: int = 0
    rows: int = 0
    samples: int = 0
    single_sentence_samples: int = 0
    documents_over_rows: int = 0
    """Documents whose samples lie in more than one row."""
    rows_at_most_samples: int = 0
    """Rows that could hold more text, but hold the most samples already."""
    tokens: int = 0
    real_positions: int = 0
    """The tokens with the special ones around them."""
    positions: int = 0
    """Of all rows, padding too."""

    def __add__(self, other: "BertCounts") -> "BertCounts":
        return BertCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def as_dict(self) -> dict[str, int | float]:
        """Return the counts by name for the report, with the part of the positions that is not padding, and a mean length."""
        return asdict(self) | {
            "fill": round(self.real_positions / max(self.positions, 1), 4),
            "mean_sample_length": round(self.tokens / max(self.samples, 1), 1),
        }


@dataclass(frozen=True)
class BertSamples:
    """Sample n is `lengths[n]` tokens from token `first_offset[n]` of sentence `first_sequence[n]` on.

    Row r holds the samples first_sample[r] ... first_sample[r + 1] - 1.
    """

    first_sequence: NDArray[np.int64]
    """[N] sentence in which the sample starts."""
    first_offset: NDArray[np.int32]
    """[N] tokens of that sentence that belong to earlier samples: above 0 only inside a sentence that was split."""
    lengths: NDArray[np.int32]
    """[N] tokens, without special ones."""
    sequences: NDArray[np.int32]
    """[N] sentences that the sample touches; their inner bounds are where it can be cut in two."""
    first_sample: NDArray[np.int64]
    """[R + 1] first sample of each row, then N."""
    counts: BertCounts

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def rows(self) -> int:
        """R."""
        return len(self.first_sample) - 1


def build_bert_samples(
    sequence_lengths: NDArray[np.int32],
    document_indices: NDArray[np.int64],
    documents: NDArray[np.int64],
    *,
    sequence_length: int,
    paired: bool,
    short_sequence_probability: float,
    seed: int,
) -> BertSamples:
    """Cut each of `documents` into samples of consecutive sentences, one in each row.

    A sample takes whole sentences while they fit into `longest_text` tokens. With short_sequence_probability it
    stops earlier, at the first sentence that reaches a length drawn from 2 ... longest_text, so that the model also
    meets short texts (Devlin et al. 2019). What remains at the end of a document is a sample of its own. A sentence
    longer than a sample is split: its full pieces are samples, its rest starts the next one.

    sequence_lengths: [S] tokens per sentence. document_indices: [D + 1] first sentence of each document, then S.
    documents: numbers of the chosen documents.
    """
    limit = longest_text(sequence_length, paired)
    sizes = document_indices[documents + 1] - document_indices[documents]
    blocks = np.searchsorted(np.cumsum(sizes), np.arange(_SEQUENCES_AT_ONCE, sizes.sum(), _SEQUENCES_AT_ONCE))
    parts = []
    for block in np.split(documents, np.unique(blocks)):
        sentences, per_document = _sentences_of(document_indices, block)
        pieces = _Pieces.of(sequence_lengths, sentences, per_document, limit)
        parts.append(_chain(pieces, limit, short_sequence_probability, seed))
    sequences = np.concatenate([part.sequences for part in parts])
    counts = sum((part.counts for part in parts), BertCounts())
    special = 2 * counts.samples + (int(np.count_nonzero(sequences > 1)) if paired else 0)
    return BertSamples(
        np.concatenate([part.first_sequence for part in parts]),
        np.concatenate([part.first_offset for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        sequences,
        np.arange(counts.samples + 1),
        replace(
            counts,
            rows=counts.samples,
            real_positions=counts.tokens + special,
            positions=counts.samples * sequence_length,
        ),
    )


def _sentences_of(
    document_indices: NDArray[np.int64], documents: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sentence numbers of `documents` in a row, and how many each document has."""
    firsts = document_indices[documents]
    counts = document_indices[documents + 1] - firsts
    return np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum()), counts


@dataclass(frozen=True)
class _Pieces:
    """[P] pieces of some documents in a row."""

    sequence: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    document_end: NDArray[np.int64]
    """[P] number of the first piece behind the document."""
    counts: BertCounts

    @classmethod
    def of(
        cls,
        sequence_lengths: NDArray[np.int32],
        sentences: NDArray[np.int64],
        per_document: NDArray[np.int64],
        limit: int,
    ) -> "_Pieces":
        lengths = sequence_lengths[sentences].astype(np.int64)
        cuts = -(-lengths // limit)
        ends = np.concatenate([[0], np.cumsum(cuts)])
        document_ends = ends[np.cumsum(per_document)]
        sizes = np.diff(document_ends, prepend=0)
        sequence, offset, length = sentences, np.zeros_like(lengths), lengths
        if (cuts != 1).any():
            sequence = np.repeat(sentences, cuts)
            offset = (np.arange(ends[-1]) - np.repeat(ends[:-1], cuts)) * limit
            length = np.minimum(np.repeat(lengths, cuts) - offset, limit)
        counts = BertCounts(
            documents=len(per_document),
            empty_documents=int(np.count_nonzero(sizes == 0)),
            sentences=len(sentences),
            empty_sentences=int(np.count_nonzero(cuts == 0)),
            split_sentences=int(np.count_nonzero(cuts > 1)),
        )
        return cls(sequence, offset, length, np.repeat(document_ends, sizes), counts)


def _chain(pieces: _Pieces, limit: int, short_probability: float, seed: int) -> BertSamples:
    """Follow, from the first piece on, where the sample that starts at each piece would end.

    The end of a sample is the start of the next, and the end of a document's last sample the start of the next
    document, so one walk along the precomputed ends visits all samples.
    """
    before = np.concatenate([[0], np.cumsum(pieces.length)])
    ends = np.searchsorted(before, before[:-1] + limit, side="right") - 1
    draws = uniform(seed, Purpose.TARGET_LENGTH, pieces.sequence, pieces.offset)
    short = np.flatnonzero(draws < short_probability)
    if short.size:
        targets = 2 + (draws[short] / short_probability * (limit - 1)).astype(np.int64)
        reached = np.searchsorted(before, before[short] + targets, side="left")
        ends[short] = np.minimum(ends[short], reached)
    ends = np.minimum(ends, pieces.document_end)
    starts = np.array(_walk(ends.tolist()), dtype=np.int64)
    stops = ends[starts]
    first, last = pieces.sequence[starts], pieces.sequence[stops - 1]
    lengths, sequences = before[stops] - before[starts], last - first + 1
    counts = BertCounts(
        samples=len(starts),
        single_sentence_samples=int(np.count_nonzero(sequences == 1)),
        documents_over_rows=_repeated(pieces.document_end[starts]),
        tokens=int(before[-1]),
    )
    return BertSamples(
        first,
        pieces.offset[starts].astype(np.int32),
        lengths.astype(np.int32),
        sequences.astype(np.int32),
        np.arange(len(starts) + 1),
        pieces.counts + counts,
    )


def _repeated(ascending: NDArray[np.int64]) -> int:
    """Return how many values occur more than once."""
    same = np.diff(ascending) == 0
    return int(np.count_nonzero(same[1:] & ~same[:-1])) + int(same[:1].sum())


def _walk(ends: list[Any]) -> list[int]:
    starts, position = [], 0
    while position < len(ends):
        starts.append(position)
        position = ends[position]
    return starts
