"""Documents of sentences to BERT samples: which sentences each sample holds, fixed by the seed for all epochs.

`packing` makes them. Legend of shapes: N samples, R rows.
"""

from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray


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
