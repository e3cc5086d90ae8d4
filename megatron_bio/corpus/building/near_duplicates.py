"""Near duplicates: documents whose MinHash signatures agree in at least the asked part of their numbers.

Documents that share a band are compared; those found alike, directly or through others, form a cluster. In a cluster articles
come first, then longer texts, and of texts of about equal length the earlier; in this order each document is kept unless it is
alike to one already kept.
So every dropped document resembles a kept one by itself, not only through a chain of others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.collection import Collection, Flags, Numbers
from megatron_bio.corpus.building.equal_keys import KeyRange, equal_keys, key_ranges
from megatron_bio.corpus.building.signatures import band_count
from megatron_bio.corpus.building.tables import BANDS
from megatron_bio.corpus.building.verdicts import NEAR, Verdicts
from megatron_bio.corpus.workers import map_in_order

COMPARED_AT_ONCE = 1 << 16
"""Pairs whose signatures are in memory at the same time: 64 MB."""
EQUAL_LENGTH = 0.95
"""Texts of which the shorter has this part of the words of the longer, or more, are of about equal length."""

Pairs = NDArray[np.int64]
"""[pairs, 2]"""


@dataclass(frozen=True)
class _FindAlike:
    """Finds in a range of band keys pairs of alike documents that link all that are alike; for `map_in_order`."""

    collection: Collection
    candidates: Flags
    similarity: float

    def __call__(self, task: KeyRange) -> Pairs:
        entries = equal_keys(self.collection, task, self.candidates)
        documents, groups = entries.documents, entries.groups
        pairs = []
        # Each round compares all documents of a group with its first; those unlike it are the group of the next round.
        while len(documents):
            starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
            sizes = np.diff(np.append(starts, len(groups)))
            leaders = np.repeat(documents[starts], sizes)
            others = np.ones(len(documents), np.bool_)
            others[starts] = False
            alike = np.zeros(len(documents), np.bool_)
            alike[others] = (
                _similarity(self.collection, leaders[others], documents[others]) >= self.similarity
            )
            pairs.append(np.stack([leaders[alike], documents[alike]], axis=1))
            rest = others & ~alike
            documents, groups = documents[rest], groups[rest]
        return np.concatenate([np.empty((0, 2), np.int64), *pairs])


@dataclass(frozen=True)
class _Found:
    dropped: list[int]
    of: list[int]
    similarity: list[float]


def drop_near_duplicates(
    collection: Collection,
    article: Flags,
    candidates: Flags,
    verdicts: Verdicts,
    similarity: float,
    workers: int,
) -> None:
    """Drops near duplicates among the `candidates`, which are kept so far."""
    bands = band_count(similarity)
    work = _FindAlike(collection, candidates, similarity)
    pairs: Pairs = np.empty((0, 2), np.int64)
    for found in map_in_order(work, key_ranges(collection, BANDS, bands), workers):
        if len(found):  # most pairs share several bands
            pairs = np.unique(np.concatenate([pairs, found]), axis=0)
    if not len(pairs):
        return
    documents, ends = np.unique(pairs, return_inverse=True)
    clusters = _connected(ends.reshape(-1, 2), len(documents))
    words = collection.values("words", documents).astype(np.int64)
    others = ~article[documents]
    order = np.lexsort((-words, others, clusters))
    lengths = _steps_of_length(words[order], clusters[order] * 2 + others[order])
    order = order[np.lexsort((documents[order], lengths))]
    found_all = _choose(collection, documents[order], clusters[order], similarity)
    verdicts.drop(
        NEAR,
        np.array(found_all.dropped, np.int64),
        np.array(found_all.of, np.int64),
        np.array(found_all.similarity, np.float32),
    )


def _steps_of_length(words: Numbers, groups: Numbers) -> Numbers:
    """Numbers for texts in the order of group, then falling length: equal for those of a group that are of about equal length.

    A step ends where a text is shorter than its longest by more than `EQUAL_LENGTH` allows.
    """
    steps = np.empty(len(words), np.int64)
    step, least, before = -1, 0.0, -1
    for index, (count, group) in enumerate(zip(words.tolist(), groups.tolist(), strict=True)):
        if group != before or count < least:
            step, least, before = step + 1, EQUAL_LENGTH * count, group
        steps[index] = step
    return steps


def _choose(collection: Collection, documents: Numbers, clusters: Numbers, similarity: float) -> _Found:
    """In each cluster, in the given order, keeps a document unless it is alike to a kept one."""
    found = _Found([], [], [])
    starts = np.flatnonzero(np.append(True, clusters[1:] != clusters[:-1])).tolist()
    ends = [*starts[1:], len(clusters)]
    first = 0
    while first < len(starts):  # as many clusters at once as fit, at least one
        last = first + 1
        while last < len(starts) and ends[last] - starts[first] <= COMPARED_AT_ONCE:
            last += 1
        rows = collection.signatures(documents[starts[first] : ends[last - 1]])
        for start, end in zip(starts[first:last], ends[first:last], strict=True):
            offset = start - starts[first]
            _choose_in_cluster(documents[start:end], rows[offset : offset + end - start], similarity, found)
        first = last
    return found


def _choose_in_cluster(members: Numbers, rows: NDArray[np.uint32], similarity: float, found: _Found) -> None:
    kept = [0]
    for index in range(1, len(members)):
        agreement = (rows[kept] == rows[index]).mean(axis=1)
        best = int(agreement.argmax())
        if agreement[best] >= similarity:
            found.dropped.append(int(members[index]))
            found.of.append(int(members[kept[best]]))
            found.similarity.append(float(agreement[best]))
        else:
            kept.append(index)


def _similarity(collection: Collection, first: Numbers, second: Numbers) -> NDArray[np.float64]:
    """The estimated Jaccard similarity of each pair."""
    result = np.empty(len(first))
    for start in range(0, len(first), COMPARED_AT_ONCE):
        some = slice(start, start + COMPARED_AT_ONCE)
        equal = collection.signatures(first[some]) == collection.signatures(second[some])
        result[some] = equal.mean(axis=1)
    return result


def _connected(edges: Pairs, nodes: int) -> Numbers:
    """[nodes]: the least number of the nodes that each is connected with.

    Each node takes the least label at its edges, then the label of its label, until nothing changes.
    """
    labels = np.arange(nodes)
    while True:
        before = labels.copy()
        least = np.minimum(labels[edges[:, 0]], labels[edges[:, 1]])
        np.minimum.at(labels, before[edges[:, 0]], least)
        np.minimum.at(labels, before[edges[:, 1]], least)
        while (labels[labels] != labels).any():
            labels = labels[labels]
        if (labels[edges[:, 0]] == labels[edges[:, 1]]).all():
            return labels
