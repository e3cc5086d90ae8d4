"""Documents with the same record or the same words, and the articles that abstracts stand in.

Of equal documents the first in the order of the input is kept, but an article before anything else.
"""

from dataclasses import dataclass

import numpy as np

from megatron_bio.corpus.building.collection import Collection, Flags, Numbers
from megatron_bio.corpus.building.equal_keys import EqualKeys, KeyRange, equal_keys, key_ranges
from megatron_bio.corpus.building.tables import ABSTRACT, PMCID, PMID, RECORD, TEXT
from megatron_bio.corpus.building.verdicts import EXACT, SAME_RECORD, Verdicts
from megatron_bio.corpus.workers import map_in_order


@dataclass(frozen=True)
class _FindCopies:
    """Finds in a range of keys the documents to drop and the one to keep for each; for `map_in_order`."""

    collection: Collection
    article: Flags
    kept: Flags

    def __call__(self, task: KeyRange) -> tuple[Numbers, Numbers]:
        entries = equal_keys(self.collection, task, self.kept)
        documents = entries.documents
        groups = entries.groups
        if task.kind == TEXT:  # 64 bits are equal; the other 64 must be too
            low = self.collection.values("digest_low", documents)
            pairs = np.stack([groups.astype(np.uint64), low.astype(np.uint64)])
            groups = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
        order = np.lexsort((documents, ~self.article[documents], groups))
        documents, groups = documents[order], groups[order]
        first = np.append(True, groups[1:] != groups[:-1])[: len(groups)]
        keeper = documents[np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))]
        return documents[~first], keeper[~first]


@dataclass(frozen=True)
class _FindArticles:
    """Finds in a range of keys the abstracts that an article has too and the first such article; for `map_in_order`."""

    collection: Collection
    article: Flags
    kept: Flags

    def __call__(self, task: KeyRange) -> tuple[Numbers, Numbers]:
        entries = equal_keys(self.collection, task, self.article | self.kept)
        return _abstracts_and_articles(entries, self.article)


def drop_exact_duplicates(collection: Collection, article: Flags, verdicts: Verdicts, workers: int) -> None:
    """Drops all but one of the documents with one record (`pubmed:1`, `pmc:PMC1`), then of those with the same words."""
    for kind, reason in ((RECORD, SAME_RECORD), (TEXT, EXACT)):
        work = _FindCopies(collection, article, verdicts.kept)
        found = list(map_in_order(work, key_ranges(collection, kind), workers))
        verdicts.drop(reason, *_joined(found))


def find_articles(
    collection: Collection, article: Flags, verdicts: Verdicts, workers: int
) -> tuple[Numbers, Numbers]:
    """Abstracts that are kept so far, and for each an article, perhaps a dropped one, that holds it.

    An article holds an abstract that has its PMID or PMCID, or whose words are those of its own abstract.
    """
    if not article.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    work = _FindArticles(collection, article, verdicts.kept)
    tasks = [task for kind in (PMID, PMCID, ABSTRACT) for task in key_ranges(collection, kind)]
    abstracts, articles = _joined(list(map_in_order(work, tasks, workers)))
    abstracts, first = np.unique(abstracts, return_index=True)
    return abstracts, articles[first]


def _abstracts_and_articles(entries: EqualKeys, article: Flags) -> tuple[Numbers, Numbers]:
    documents, groups = entries.documents, entries.groups
    is_article = article[documents]
    first_article = np.full(len(entries.starts), -1, np.int64)
    # Written from the last to the first, so that the first stays.
    first_article[groups[is_article][::-1]] = documents[is_article][::-1]
    inside = ~is_article & (first_article[groups] >= 0)
    return documents[inside], first_article[groups[inside]]


def _joined(pairs: list[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    none = np.empty(0, np.int64)
    return (
        np.concatenate([none, *(first for first, _ in pairs)]),
        np.concatenate([none, *(second for _, second in pairs)]),
    )
