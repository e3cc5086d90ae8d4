"""Documents of whose words a given part stands in sentences that documents before them have too.

A sentence counts when it has at least eight words; case and punctuation do not matter. "Before" is the order of the input, but
articles come before all else; and only a kept document counts, so a sentence always stays somewhere.

Whether a document is kept can depend on another that is itself undecided. So for each undecided document two amounts are
counted: the words that documents surely kept have before it, and the words that kept or undecided ones have. If the first is
enough, it is dropped; if the second is not, it is kept; else it waits for the next round. The first undecided document
never waits, so the rounds end; on real text there are two or three.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.collection import Collection, Flags, Numbers
from megatron_bio.corpus.building.equal_keys import EqualKeys, KeyRange, equal_keys, key_ranges
from megatron_bio.corpus.building.tables import SENTENCES
from megatron_bio.corpus.building.verdicts import COPIED, Verdicts
from megatron_bio.corpus.workers import map_in_order

Amounts = NDArray[np.uint32]
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _State:
    """What is known so far; [documents] each."""

    kept: Flags
    undecided: Flags
    earlier: Flags
    """Documents that come before all undecided ones, whatever their number: articles, when abstracts are decided."""


@dataclass(frozen=True)
class _Copied:
    """[entries]: undecided documents and how many words in a range of keys are copied from surely or possibly kept ones."""

    documents: Numbers
    surely: Amounts
    possibly: Amounts


@dataclass(frozen=True)
class _CountCopied:
    """Counts copied words in a range of keys; for `map_in_order`."""

    collection: Collection
    state: _State

    def __call__(self, task: KeyRange) -> _Copied:
        state = self.state
        entries = equal_keys(self.collection, task, state.kept | state.undecided)
        documents, words = entries.documents, entries.words.astype(np.int64)
        asked = state.undecided[documents]
        surely = _first(entries, state.kept, state.earlier)[entries.groups] < documents
        # The documents of a group ascend, so all but the first have one before them.
        possibly = surely | (documents > documents[entries.starts][entries.groups])
        counted, index = np.unique(documents[asked], return_inverse=True)
        return _Copied(
            documents=counted,
            surely=_sums(index, (words * surely)[asked], len(counted)).astype(np.uint32),
            possibly=_sums(index, (words * possibly)[asked], len(counted)).astype(np.uint32),
        )


@dataclass(frozen=True)
class _FindSources:
    """Finds for dropped documents the kept ones that have their sentences; rows of document, source, words."""

    collection: Collection
    state: _State
    dropped: Flags

    def __call__(self, task: KeyRange) -> Numbers:
        entries = equal_keys(self.collection, task, self.state.kept | self.dropped)
        first = _first(entries, self.state.kept, self.state.earlier)
        sources = _first_documents(entries, self.state.kept, self.state.earlier)
        asked = self.dropped[entries.documents] & (first[entries.groups] < entries.documents)
        groups = entries.groups[asked]
        rows = np.stack(
            [entries.documents[asked], sources[groups], entries.words[asked].astype(np.int64)], axis=1
        )
        return _merged(rows)


def drop_copied_sentences(
    collection: Collection,
    deciding: Flags,
    earlier: Flags,
    verdicts: Verdicts,
    fraction: float,
    workers: int,
) -> None:
    """Drops those of the `deciding` documents, kept so far, of whose words at least `fraction` is copied.

    `earlier` documents are decided: those kept come before all that are being decided.
    """
    words = collection.column("plain_words")
    enough = words * fraction
    np.maximum(np.ceil(enough, out=enough), 1, out=enough)
    enough = enough.astype(np.uint32)
    undecided = deciding & verdicts.kept
    state = _State(kept=earlier & verdicts.kept, undecided=undecided, earlier=earlier)
    dropped = np.zeros_like(undecided)
    surely = np.zeros(collection.documents, np.uint32)
    while state.undecided.any():
        possibly = _count(collection, state, surely, workers)
        drop = state.undecided & (surely >= enough)
        keep = state.undecided & (possibly < enough)
        dropped |= drop
        state = _State(state.kept | keep, state.undecided & ~drop & ~keep, earlier)
    numbers = np.flatnonzero(dropped)
    if len(numbers):
        similarity = (surely[numbers] / words[numbers]).astype(np.float32)
        verdicts.drop(COPIED, numbers, _main_sources(collection, state, dropped, workers), similarity)


def _count(collection: Collection, state: _State, surely: Amounts, workers: int) -> Amounts:
    """The words that may be copied; those that surely are take their place in `surely` [documents]."""
    surely[state.undecided] = 0
    possibly = np.zeros_like(surely)
    for copied in map_in_order(_CountCopied(collection, state), key_ranges(collection, SENTENCES), workers):
        surely[copied.documents] += copied.surely
        possibly[copied.documents] += copied.possibly
    return possibly


def _main_sources(collection: Collection, state: _State, dropped: Flags, workers: int) -> Numbers:
    """For each dropped document, in order, the kept one that first had most of its copied words."""
    found = map_in_order(_FindSources(collection, state, dropped), key_ranges(collection, SENTENCES), workers)
    rows = _merged(np.concatenate([np.empty((0, 3), np.int64), *found]))
    rows = rows[np.lexsort((rows[:, 1], -rows[:, 2], rows[:, 0]))]
    sources: Numbers = rows[np.append(True, rows[1:, 0] != rows[:-1, 0]), 1]
    return sources


def _first(entries: EqualKeys, kept: Flags, earlier: Flags) -> Numbers:
    """[groups]: the number of the first kept document with the key, -1 for an earlier one, NEVER for none."""
    documents = entries.documents
    rank = np.where(kept[documents], np.where(earlier[documents], -1, documents), NEVER)
    return _least(entries, rank)


def _first_documents(entries: EqualKeys, kept: Flags, earlier: Flags) -> Numbers:
    """[groups]: the first kept document with the key, an earlier one if there is one; some number for none."""
    documents, total = entries.documents, len(kept)
    rank = np.where(kept[documents], np.where(earlier[documents], documents, documents + total), NEVER)
    least = _least(entries, rank)
    return np.where(least == NEVER, 0, least % total)


def _least(entries: EqualKeys, values: Numbers) -> Numbers:
    if not len(values):
        return values
    least: Numbers = np.minimum.reduceat(values, entries.starts)
    return least


def _merged(rows: Numbers) -> Numbers:
    """Rows of document, source, words: the words of equal documents and sources summed."""
    pairs, index = np.unique(rows[:, :2], axis=0, return_inverse=True)
    return np.column_stack([pairs, _sums(index.reshape(-1), rows[:, 2], len(pairs))])


def _sums(index: Numbers, values: Numbers, size: int) -> NDArray[np.int64]:
    sums = np.zeros(size, np.int64)
    np.add.at(sums, index, values)
    return sums
