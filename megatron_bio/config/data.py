"""Which token data a run reads and how samples are made of it."""

import math
import os
from dataclasses import dataclass
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

_SHORTEST_SEQUENCE = 8
_SHORTEST_SAMPLE = 3
_USUAL_SAMPLES_PER_ROW = 16
_LONGEST_SEQUENCE = 2**24
_MOST_WORDS = 512
_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Token data and how samples are made of it."""

    prefixes: list[str]
    """Token data to read, as paths without .bin and .idx; several are read as one, in this order, or mixed by weights."""
    weights: list[float] | None = None
    """Parts of the rows that come from each prefix, in the order of prefixes and of any sum; each prefix then has epochs of
    its own. Without them all prefixes are one corpus, with each document once in an epoch."""
    index_cache: str | None = None
    """bert: folder to keep in what is computed once from the lengths of all sentences; PREFIX.cache beside the token data
    when not given; none keeps nothing."""
    tokenizer: str
    """Folder of the tokenizer that the token data was made with."""
    sequence_length: int = 512
    """Tokens of a row."""
    split: tuple[float, float, float] = (0.95, 0.05, 0.0)
    """Fractions of the documents for train, validation and test; they sum to 1."""
    masked_lm_probability: float = 0.15
    """bert: part of the tokens to predict."""
    masking: Literal["token", "whole_word", "ngram", "span"] = "whole_word"
    """bert: what is masked together: token by token; all pieces of a word; 1 to max_ngram words, n of them with a probability
    proportional to 1/n; a span of words whose number is geometric. Words are told by a WordPiece vocabulary; with another one each
    token is a word."""
    max_ngram: int = 3
    """bert, masking ngram: most words that are masked together."""
    span_probability: float = 0.2
    """bert, masking span: parameter of the geometric distribution; the larger, the shorter the spans."""
    longest_span: int = 10
    """bert, masking span: most words of a span."""
    short_sequence_probability: float = 0.1
    """bert: part of the samples that are cut to a random shorter length."""
    sentence_order: Literal["sop", "nsp", "none"] = "sop"
    """bert: what is learned of the two parts of a sample: whether they are swapped (sop), whether the second is of another
    document (nsp), or nothing, and samples have one part (none)."""
    packing: bool = True
    """bert: several samples in a row, so that almost nothing of it is padding, each with attention to itself alone; false
    puts one sample into each row, for comparison only."""
    max_samples_per_row: int = _USUAL_SAMPLES_PER_ROW
    """bert: most samples of a packed row; the batches have as many slots for sentence order in every row. gpt with
    reset_at_document_end and training.attention variable_length: most documents that a row may hold parts of."""
    reset_at_document_end: bool = False
    """gpt: keep attention inside each document and restart its positions; without it, as in GPT-2, a row is read across
    the ends of documents."""
    seed: int = 1234
    """Seed of the split, the order of samples and masking."""

    def __post_init__(self) -> None:
        """Refuse values that give no samples."""
        if not self.prefixes or not all(self.prefixes):
            raise ConfigurationError(f"data.prefixes: expected at least one path, found {self.prefixes}.")
        paths = [os.path.normpath(prefix) for prefix in self.prefixes]
        repeated = sorted({path for path in paths if paths.count(path) > 1})
        if repeated:
            raise ConfigurationError(
                f"data.prefixes: {', '.join(repeated)} is given twice; its documents could be in train and validation "
                f"at once. Give each prefix once."
            )
        self._check_weights()
        if self.index_cache == "":
            raise ConfigurationError("data.index_cache: expected a folder or none, found nothing.")
        if self.sequence_length < _SHORTEST_SEQUENCE:
            raise ConfigurationError(
                f"data.sequence_length: expected at least {_SHORTEST_SEQUENCE}, found {self.sequence_length}; a row "
                f"holds up to three special tokens besides the text."
            )
        if self.sequence_length > _LONGEST_SEQUENCE:
            raise ConfigurationError(
                f"data.sequence_length: expected at most {_LONGEST_SEQUENCE}, found {self.sequence_length}."
            )
        self._check_split()
        if not 0.0 < self.masked_lm_probability < 1.0:
            raise ConfigurationError(
                f"data.masked_lm_probability: expected between 0 and 1, found {self.masked_lm_probability}."
            )
        self._check_masking()
        if not 0.0 <= self.short_sequence_probability <= 1.0:
            raise ConfigurationError(
                f"data.short_sequence_probability: expected 0 to 1, found {self.short_sequence_probability}."
            )
        if self.sentence_order not in ("sop", "nsp", "none"):
            raise ConfigurationError(
                f"data.sentence_order: expected sop, nsp or none, found {self.sentence_order}."
            )
        most = max(_USUAL_SAMPLES_PER_ROW, self.sequence_length // _SHORTEST_SAMPLE)
        if not 1 <= self.max_samples_per_row <= most:
            raise ConfigurationError(
                f"data.max_samples_per_row: expected 1 to {most}, found {self.max_samples_per_row}; a sample has at least "
                f"{_SHORTEST_SAMPLE} of the {self.sequence_length} tokens of a row."
            )
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise ConfigurationError(f"data.seed: expected 0 to 2^63 - 1, found {self.seed}.")

    def sequences_per_row(self, architecture: str) -> int:
        """Return how many sequences variable-length attention keeps apart in a row, padding as one.

        Rows have no more, but for gpt with `reset_at_document_end`, whose rows hold as many documents as come.
        """
        if architecture == "gpt" and not self.reset_at_document_end:
            return 1
        one = architecture == "bert" and not self.packing
        return 1 + (1 if one else self.max_samples_per_row)

    def _check_weights(self) -> None:
        if self.weights is None:
            return
        if len(self.weights) != len(self.prefixes):
            raise ConfigurationError(
                f"data.weights: expected one number for each of the {len(self.prefixes)} data.prefixes, found "
                f"{len(self.weights)}."
            )
        for prefix, weight in zip(self.prefixes, self.weights, strict=True):
            if not 0.0 <= weight < math.inf:
                raise ConfigurationError(
                    f"data.weights: expected numbers of 0 or more, found {weight} for {prefix}."
                )
        if not any(self.weights):
            raise ConfigurationError("data.weights: all are 0; give at least one prefix a weight above 0.")

    def _check_masking(self) -> None:
        for name, most in (("max_ngram", self.max_ngram), ("longest_span", self.longest_span)):
            if not 1 <= most <= _MOST_WORDS:
                raise ConfigurationError(f"data.{name}: expected 1 to {_MOST_WORDS} words, found {most}.")
        if not 0.0 < self.span_probability < 1.0:
            raise ConfigurationError(
                f"data.span_probability: expected between 0 and 1, found {self.span_probability}."
            )

    def _check_split(self) -> None:
        if len(self.split) != 3 or min(self.split) < 0 or abs(sum(self.split) - 1.0) > 1e-6:
            raise ConfigurationError(
                f"data.split: expected three fractions of 0 or more that sum to 1 (train, validation, test), found "
                f"{', '.join(f'{part:g}' for part in self.split)} with sum {sum(self.split):g}."
            )
        if self.split[0] == 0:
            raise ConfigurationError(
                "data.split: the fraction for train is 0; a run needs documents to train on."
            )
