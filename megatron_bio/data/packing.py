"""Samples into rows: documents are cut at sentence bounds so that rows become full and few documents are cut.

`_Packer` defines what `csrc/pack_rows.cpp` does faster, array for array. It reads the documents once, in a random order, and
keeps `POOL` of them waiting; each has a cursor, and the texts from there to one of the next sentence bounds are the samples that
it could give. Into the room that a row still has goes the sample of least cost: the tokens that would stay empty, plus a charge
for cutting a document. Equal costs go to the longer sample, then to the document that waits longest. A row is finished when
nothing fits or to leave the room empty costs no more.

Legend of shapes: N samples, R rows, S sentences, D documents.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from megatron_bio import native
from megatron_bio.data.bert_samples import BertCounts, BertSamples, longest_text
from megatron_bio.data.order import Permutation
from megatron_bio.data.randomness import Purpose, uniform

POOL = 64
"""Documents that wait."""
OLDEST_EVERY = 16
"""Of so many rows one starts with the document that waits longest, so that none waits for ever."""
SPLIT_AGAIN_COST = 12
"""Tokens that may stay empty rather than cutting a document that is cut already."""
SPLIT_COST = 24
"""Tokens that may stay empty rather than cutting a whole document."""


@dataclass(frozen=True, kw_only=True)
class _Rules:
    sequence_length: int
    max_samples_per_row: int
    paired: bool
    short_sequence_probability: float
    seed: int
    pool: int = POOL
    oldest_every: int = OLDEST_EVERY
    split_again_cost: int = SPLIT_AGAIN_COST
    split_cost: int = SPLIT_COST


def pack_rows(
    sequence_lengths: NDArray[np.int32],
    document_indices: NDArray[np.int64],
    documents: NDArray[np.int64],
    *,
    sequence_length: int,
    max_samples_per_row: int,
    paired: bool,
    short_sequence_probability: float,
    seed: int,
) -> BertSamples:
    """Cut `documents` into samples and put these into rows of `sequence_length` positions.

    A sample is consecutive sentences of one document; with its special tokens (three for two sentences or more if `paired`,
    else two) it fits into the row. A sentence longer than a row is split. With short_sequence_probability a sample ends at
    the first sentence that reaches a length drawn from 2 ... longest_text, so that the model also meets short texts (Devlin et
    al. 2019). No text is left out.

    sequence_lengths: [S] tokens per sentence. document_indices: [D + 1] first sentence of each document, then S.
    documents: numbers of the chosen documents.
    """
    rules = _Rules(
        sequence_length=sequence_length,
        max_samples_per_row=max_samples_per_row,
        paired=paired,
        short_sequence_probability=short_sequence_probability,
        seed=seed,
    )
    return _pack(sequence_lengths, document_indices, _in_random_order(documents, seed), rules)


def _in_random_order(documents: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Neighbours in a corpus are often of one journal or subject; a batch of rows is to be a sample of the corpus."""
    return documents[Permutation(len(documents), seed, epoch=0, purpose=Purpose.DOCUMENT_ORDER).all()]


def one_sample_per_row(
    sequence_lengths: NDArray[np.int32],
    document_indices: NDArray[np.int64],
    documents: NDArray[np.int64],
    *,
    sequence_length: int,
    paired: bool,
    short_sequence_probability: float,
    seed: int,
) -> BertSamples:
    """Cut each of `documents` in turn into samples as long as a row holds, or as drawn; the rest of the row is padding.

    What remains at the end of a document is a sample of its own. Otherwise as `pack_rows`.
    """
    # With one document waiting and room for one sample the longest that fits is always taken, whatever a cut costs.
    rules = _Rules(
        sequence_length=sequence_length,
        max_samples_per_row=1,
        paired=paired,
        short_sequence_probability=short_sequence_probability,
        seed=seed,
        pool=1,
    )
    samples = _pack(sequence_lengths, document_indices, documents, rules)
    return replace(samples, counts=replace(samples.counts, rows_at_most_samples=0))


def _pack(
    sequence_lengths: NDArray[np.int32],
    document_indices: NDArray[np.int64],
    documents: NDArray[np.int64],
    rules: _Rules,
) -> BertSamples:
    if native.compiled is None:
        return _Packer(sequence_lengths, document_indices, rules).run(documents)
    first_sequence, first_offset, lengths, sequences, first_sample, counts = native.compiled.pack_rows(
        np.require(sequence_lengths, np.int32, ["C", "A"]),
        np.require(document_indices, np.int64, ["C", "A"]),
        np.require(documents, np.int64, ["C", "A"]),
        purpose=int(Purpose.TARGET_LENGTH),
        **asdict(rules),
    )
    counts["positions"] = counts["rows"] * rules.sequence_length
    return BertSamples(first_sequence, first_offset, lengths, sequences, first_sample, BertCounts(**counts))


@dataclass(frozen=True)
class _Prefix:
    """A sample that a document could give next, and where the document goes on behind it."""

    tokens: int
    last_sentence: int
    rest: tuple[int, int]


@dataclass(eq=False)
class _Waiting:
    """A document of the pool."""

    end: int
    """The sentence behind the document."""
    start: tuple[int, int]
    """Sentence, and tokens of it that earlier samples hold."""
    prefixes: list[_Prefix] = field(default_factory=list)
    """From the shortest to the longest."""
    widths: list[int] = field(default_factory=list)
    """Their tokens with the special ones."""
    rows: set[int] = field(default_factory=set)
    """Rows that hold a sample of it."""


class _Packer:
    def __init__(self, lengths: NDArray[np.int32], bounds: NDArray[np.int64], rules: _Rules) -> None:
        self._lengths, self._bounds, self._rules = lengths, bounds, rules
        self._special_of_several = 3 if rules.paired else 2
        self._limit = longest_text(rules.sequence_length, rules.paired)
        self._pool: list[_Waiting] = []
        self._samples: list[tuple[int, int, int, int]] = []
        self._first_sample = [0]
        self._over_rows = self._at_most_samples = self._real_positions = 0

    def run(self, documents: NDArray[np.int64]) -> BertSamples:
        incoming = self._documents_with_text(documents)
        row = 0
        while self._refill(incoming):
            self._fill(row, incoming)
            row += 1
        columns = np.array(self._samples, dtype=np.int64).reshape(-1, 4).T
        return BertSamples(
            columns[0].copy(),
            columns[1].astype(np.int32),
            columns[2].astype(np.int32),
            columns[3].astype(np.int32),
            np.array(self._first_sample, dtype=np.int64),
            counts=self._counts(documents, row, columns),
        )

    def _documents_with_text(self, documents: NDArray[np.int64]) -> Iterator[_Waiting]:
        for document in documents.tolist():
            begin, end = int(self._bounds[document]), int(self._bounds[document + 1])
            start = self._with_text(begin, end)
            if start < end:
                yield _Waiting(end, (start, 0))

    def _refill(self, incoming: Iterator[_Waiting]) -> bool:
        while len(self._pool) < self._rules.pool and (document := next(incoming, None)):
            self._offer(document)
            self._pool.append(document)
        return bool(self._pool)

    def _fill(self, row: int, incoming: Iterator[_Waiting]) -> None:
        """Take samples until none fits or pays."""
        room, taken = self._rules.sequence_length, 0
        candidates = self._pool[:1] if row % self._rules.oldest_every == 0 else self._pool
        while (choice := self._best(room, candidates)) and taken < self._rules.max_samples_per_row:
            document, index = choice
            room -= document.widths[index]
            self._take(document, document.prefixes[index], row)
            taken += 1
            self._refill(incoming)
            candidates = self._pool
        self._at_most_samples += choice is not None
        self._real_positions += self._rules.sequence_length - room
        self._first_sample.append(len(self._samples))

    def _best(self, room: int, candidates: list[_Waiting]) -> tuple[_Waiting, int] | None:
        """The sample of least cost that fits, if it is worth it; `candidates` are in the order of their waiting."""
        best, least = None, (0, 0)
        empty_cost = room if room < self._rules.sequence_length else math.inf
        for document in candidates:
            # Of one document the longest sample costs least: the last one alone may end it, for which there is no charge.
            index = bisect_right(document.widths, room) - 1
            if index < 0:
                continue
            prefix, width = document.prefixes[index], document.widths[index]
            charge = self._rules.split_again_cost if document.rows else self._rules.split_cost
            cost = room - width + (0 if prefix.rest[0] == document.end else charge), -width
            if cost[0] < empty_cost and (best is None or cost < least):
                best, least = (document, index), cost
        return best

    def _take(self, document: _Waiting, prefix: _Prefix, row: int) -> None:
        sentence, offset = document.start
        self._samples.append((sentence, offset, prefix.tokens, prefix.last_sentence - sentence + 1))
        self._over_rows += len(document.rows) == 1 and row not in document.rows
        document.rows.add(row)
        document.start = prefix.rest
        if document.start[0] == document.end:
            self._pool.remove(document)
        else:
            self._offer(document)

    def _offer(self, document: _Waiting) -> None:
        """Find the samples that the document could give next."""
        document.prefixes, document.widths = [], []
        target = self._target_tokens(document.start)
        (sentence, offset), tokens = document.start, 0
        while sentence < document.end and tokens < target:
            left = int(self._lengths[sentence]) - offset
            piece, last = min(left, self._limit), sentence
            if tokens + piece > self._limit:
                return
            document.widths.append(tokens + piece + (self._special_of_several if tokens else 2))
            tokens += piece
            if piece < left:
                offset += piece
            else:
                sentence, offset = self._with_text(sentence + 1, document.end), 0
            document.prefixes.append(_Prefix(tokens, last, (sentence, offset)))

    def _target_tokens(self, start: tuple[int, int]) -> int:
        draw = uniform(self._rules.seed, Purpose.TARGET_LENGTH, *start).item()
        if draw >= self._rules.short_sequence_probability:
            return self._limit
        return 2 + int(draw / self._rules.short_sequence_probability * (self._limit - 1))

    def _with_text(self, sentence: int, end: int) -> int:
        while sentence < end and self._lengths[sentence] == 0:
            sentence += 1
        return sentence

    def _counts(self, documents: NDArray[np.int64], rows: int, samples: NDArray[np.int64]) -> BertCounts:
        texts = [self._lengths[self._bounds[number] : self._bounds[number + 1]] for number in documents]
        lengths = np.concatenate([np.empty(0, dtype=np.int32), *texts])
        return BertCounts(
            documents=len(documents),
            empty_documents=sum(not text.any() for text in texts),
            sentences=len(lengths),
            empty_sentences=int(np.count_nonzero(lengths == 0)),
            split_sentences=int(np.count_nonzero(lengths > self._limit)),
            rows=rows,
            samples=samples.shape[1],
            single_sentence_samples=int(np.count_nonzero(samples[3] == 1)),
            documents_over_rows=self._over_rows,
            rows_at_most_samples=self._at_most_samples,
            tokens=int(samples[2].sum()),
            real_positions=self._real_positions,
            positions=rows * self._rules.sequence_length,
        )
