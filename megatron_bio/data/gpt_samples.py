"""Documents to GPT rows: one stream of tokens per epoch, cut into chunks, as GPT-2 and Megatron train.

Legend of shapes: D documents, N chunks of an epoch, R rows, S sequence length.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.order import Permutation
from megatron_bio.data.randomness import Purpose
from megatron_bio.data.sources import TokenSource

_EPOCHS_HELD = 2


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
class _Stream:
    """The documents of one epoch one after the other."""

    documents: NDArray[np.int64]
    """[D] document numbers in the epoch's order."""
    before: NDArray[np.int64]
    """[D + 1] tokens of the stream before each document, then all."""


class GptSamples:
    """Chunk n of an epoch is the tokens n x S ... n x S + S of its stream: S inputs and, one further on, S labels.

    Each epoch has its own order of the documents, so chunks begin elsewhere in each; their number stays.
    """

    def __init__(
        self, source: TokenSource, documents: NDArray[np.int64], sequence_length: int, seed: int
    ) -> None:
        """Count the tokens of `documents`, numbers of documents in `source`."""
        self._source = source
        self._documents = documents
        self._sequence_length = sequence_length
        self._seed = seed
        self._sizes = _document_tokens(source, documents)
        self._streams: dict[int, _Stream] = {}
        tokens = int(self._sizes.sum())
        samples = max(tokens - 1, 0) // sequence_length
        self.counts = GptCounts(
            documents=len(documents),
            empty_documents=int(np.count_nonzero(self._sizes == 0)),
            tokens=tokens,
            samples=samples,
            dropped_tokens=tokens - samples * sequence_length - 1 if samples else tokens,
        )

    def __len__(self) -> int:
        return self.counts.samples

    def read(self, epoch: int, chunks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the tokens [R, S + 1] of `chunks` and whether each is the first of its document [R, S + 1]."""
        stream = self._stream(epoch)
        width = self._sequence_length + 1
        tokens = np.empty((len(chunks), width), dtype=np.int64)
        firsts = np.zeros((len(chunks), width), dtype=np.bool_)
        for row, start in enumerate((chunks * self._sequence_length).tolist()):
            self._fill(stream, start, tokens[row], firsts[row])
        return tokens, firsts

    def _fill(
        self, stream: _Stream, start: int, tokens: NDArray[np.int64], firsts: NDArray[np.bool_]
    ) -> None:
        """Write the tokens of the stream from `start` on into `tokens`, document by document."""
        place = int(np.searchsorted(stream.before, start, side="right")) - 1
        filled = 0
        while filled < len(tokens):
            document, begin = stream.documents[place], int(stream.before[place])
            skipped = start + filled - begin
            text = self._source.sequences(
                int(self._source.document_indices[document]), int(self._source.document_indices[document + 1])
            )[skipped : skipped + len(tokens) - filled]
            tokens[filled : filled + len(text)] = text
            if skipped == 0:
                firsts[filled] = True
            filled += len(text)
            place += 1

    def _stream(self, epoch: int) -> _Stream:
        """Return the order of the documents in `epoch`; the newest two stay, as a batch may lie across their border."""
        if epoch not in self._streams:
            order = Permutation(len(self._documents), self._seed, epoch, Purpose.DOCUMENT_ORDER).all()
            before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self._sizes[order])])
            if len(self._streams) == _EPOCHS_HELD:
                del self._streams[min(self._streams)]
            self._streams[epoch] = _Stream(self._documents[order], before)
        return self._streams[epoch]


def _document_tokens(source: TokenSource, documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tokens of each document: the distance from its first byte to that of the next document."""
    item = source.dtype.itemsize
    ends = source.sequence_pointers[-1:] + source.sequence_lengths[-1:].astype(np.int64) * item
    pointers = np.concatenate([source.sequence_pointers, ends])
    bounds = source.document_indices
    return np.asarray((pointers[bounds[documents + 1]] - pointers[bounds[documents]]) // item)
