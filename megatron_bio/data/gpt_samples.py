"""Documents to GPT rows: one stream of tokens per epoch, cut into chunks, as GPT-2 and Megatron train.

`rows_by_definition` defines what `csrc/gpt_rows.cpp` does faster, array for array.

Legend of shapes: D documents, N chunks of an epoch, R rows, S sequence length.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_bio import native
from megatron_bio.data.order import EMPTY_ROW, Permutation
from megatron_bio.data.randomness import Purpose
from megatron_bio.data.sources import TokenSource, token_files

_EPOCHS_HELD = 2
_COMPILED_TYPES = (np.dtype(np.uint16), np.dtype(np.int32))


@dataclass(frozen=True, kw_only=True)
class GptCounts:
    """What becomes of the documents in each epoch."""

    documents: int
    empty_documents: int
    tokens: int
    samples: int
    dropped_tokens: int
    """Tokens at the end of an epoch's stream that fill no chunk; other ones in each epoch."""

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name, for the report."""
        return asdict(self)


@dataclass(frozen=True)
class Stream:
    """The documents of one epoch one after the other."""

    starts: NDArray[np.int64]
    """[D] first token of each document in the source, in the epoch's order."""
    before: NDArray[np.int64]
    """[D + 1] tokens of the stream before each document, then all."""


@dataclass(frozen=True, kw_only=True)
class GptRecipe:
    """How GPT rows are made of documents."""

    sequence_length: int
    pad: int
    """Token of empty rows."""
    reset_at_document_end: bool
    seed: int


class GptSamples:
    """Chunk n of an epoch is the tokens n x S ... n x S + S of its stream: S inputs and, one further on, S labels.

    Each epoch has its own order of the documents, so chunks begin elsewhere in each; their number stays.
    """

    def __init__(self, source: TokenSource, documents: NDArray[np.int64], recipe: GptRecipe) -> None:
        """Count the tokens of `documents`, numbers of documents in `source`."""
        self._source = source
        self._recipe = recipe
        self._starts, self._sizes = _starts_and_sizes(source, documents)
        self._streams: dict[int, Stream] = {}
        tokens = int(self._sizes.sum())
        samples = max(tokens - 1, 0) // recipe.sequence_length
        self.counts = GptCounts(
            documents=len(documents),
            empty_documents=len(documents) - int(np.count_nonzero(self._sizes)),
            tokens=tokens,
            samples=samples,
            dropped_tokens=tokens - samples * recipe.sequence_length - 1 if samples else tokens,
        )

    def __len__(self) -> int:
        return self.counts.samples

    def read(self, epochs: NDArray[np.int64], chunks: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return all arrays of a GptBatch but `sample_ids`, by name; epochs, chunks: [R], EMPTY_ROW for an empty row."""
        if not len(epochs) or (epochs == epochs[0]).all():
            return self._rows(int(epochs[0]) if len(epochs) else 0, chunks)
        rows: dict[str, NDArray[Any]] = {}
        for epoch in np.unique(epochs).tolist():
            chosen = epochs == epoch
            part = self._rows(epoch, np.where(chosen, chunks, EMPTY_ROW))
            for name, array in part.items():
                rows.setdefault(name, array)[chosen] = array[chosen]
        return rows

    def _rows(self, epoch: int, chunks: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        first = np.where(chunks == EMPTY_ROW, -1, chunks * self._recipe.sequence_length)
        files, stream = token_files(self._source), self.stream(epoch)
        if native.compiled is None or self._source.dtype not in _COMPILED_TYPES:
            return rows_by_definition(files, stream, first, self._recipe)
        rows: dict[str, NDArray[Any]] = native.compiled.gpt_rows(
            files,
            stream.starts,
            stream.before,
            first,
            self._recipe.sequence_length,
            self._recipe.pad,
            self._recipe.reset_at_document_end,
        )
        return rows

    def stream(self, epoch: int) -> Stream:
        """Return the order of the documents in `epoch`; the newest two stay, as a batch may lie across their border."""
        if epoch not in self._streams:
            if len(self._streams) == _EPOCHS_HELD:
                del self._streams[min(self._streams)]
            self._streams[epoch] = self._ordered(epoch)
        return self._streams[epoch]

    def _ordered(self, epoch: int) -> Stream:
        if native.compiled is not None:
            return Stream(
                *native.compiled.document_stream(
                    self._starts, self._sizes, self._recipe.seed, Purpose.DOCUMENT_ORDER, epoch
                )
            )
        order = Permutation(len(self._sizes), self._recipe.seed, epoch, Purpose.DOCUMENT_ORDER).all()
        return Stream(
            self._starts[order], np.concatenate([np.zeros(1, np.int64), np.cumsum(self._sizes[order])])
        )


def rows_by_definition(
    files: list[NDArray[Any]], stream: Stream, first: NDArray[np.int64], recipe: GptRecipe
) -> dict[str, NDArray[Any]]:
    """Return the rows that start with the tokens `first` [R] of the stream, below 0 for an empty row, as `GptSamples.read` does."""
    length = recipe.sequence_length
    text = np.full((len(first), length + 1), recipe.pad, dtype=np.int64)
    begins = np.zeros(text.shape, dtype=np.bool_)
    real = first >= 0
    for row in np.flatnonzero(real).tolist():
        _fill(files, stream, int(first[row]), text[row], begins[row])
    if not recipe.reset_at_document_end:
        begins[:] = False
    columns = np.broadcast_to(np.arange(length), (len(first), length))
    starts = np.maximum.accumulate(np.where(begins[:, :-1], columns, 0), axis=1)
    begins[:, 0] = True
    segments = np.cumsum(begins[:, :-1], axis=1, dtype=np.int32) * real[:, None]
    return {
        "tokens": text[:, :-1].copy(),
        "segment_ids": segments.astype(np.int32),
        "position_ids": (columns - starts) * real[:, None],
        "labels": text[:, 1:].copy(),
        "label_weights": (~begins[:, 1:] & real[:, None]).astype(np.float32),
    }


def _fill(
    files: list[NDArray[Any]],
    stream: Stream,
    start: int,
    tokens: NDArray[np.int64],
    begins: NDArray[np.bool_],
) -> None:
    """Write the tokens of the stream from `start` on into `tokens`, document by document, and where documents begin."""
    place = int(np.searchsorted(stream.before, start, side="right")) - 1
    file_starts = np.cumsum([0, *map(len, files)])
    filled = 0
    while filled < len(tokens):
        skipped = start + filled - int(stream.before[place])
        count = min(int(stream.before[place + 1]) - start - filled, len(tokens) - filled)
        if count:
            token = int(stream.starts[place]) + skipped
            file = int(np.searchsorted(file_starts[:-1], token, side="right")) - 1
            token -= int(file_starts[file])
            tokens[filled : filled + count] = files[file][token : token + count]
            begins[filled] = skipped == 0
        filled += count
        place += 1


def _starts_and_sizes(
    source: TokenSource, documents: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first token of each document, and its tokens: the distance to that of the next document."""
    item = source.dtype.itemsize
    ends = (
        source.sequence_pointers[-1:].astype(np.int64) + source.sequence_lengths[-1:].astype(np.int64) * item
    )
    bounds = source.document_indices
    first = np.zeros(len(bounds), dtype=np.int64)
    inside = bounds < len(source.sequence_pointers)
    first[inside] = source.sequence_pointers[bounds[inside]] // item
    if len(ends):
        first[~inside] = ends[0] // item
    starts = first[documents]
    return starts, first[documents + 1] - starts
