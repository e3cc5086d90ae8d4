"""Which documents were dropped as copies, why, and of which other document each is a copy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.collection import Flags, Numbers

KEPT = 0
REASONS = (
    "",
    "same record as an earlier document",
    "exact duplicate",
    "near duplicate",
    "abstract inside an article",
    "copied sentences",
)
SAME_RECORD, EXACT, NEAR, INSIDE_ARTICLE, COPIED = ALL = tuple(range(1, len(REASONS)))
WHOLE_COPIES = (SAME_RECORD, EXACT, NEAR)
"""What these drop is in the kept document as a whole."""


@dataclass
class Verdicts:
    """`reason` [documents] is a number of `REASONS`; the others are of the dropped documents only, in the order of dropping."""

    reason: NDArray[np.uint8]
    documents: Numbers
    of: Numbers
    similarity: NDArray[np.float32]
    """By which the document resembles `of`: of near duplicates Jaccard, of copied sentences the part of words, else 1."""

    @classmethod
    def none(cls, documents: int) -> "Verdicts":
        """All documents are kept."""
        return cls(
            np.zeros(documents, np.uint8),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.float32),
        )

    @property
    def kept(self) -> Flags:
        """[documents]: which are not dropped."""
        kept: Flags = self.reason == KEPT
        return kept

    def drop(
        self, reason: int, documents: Numbers, of: Numbers, similarity: NDArray[np.float32] | None = None
    ) -> None:
        """Drops kept documents, each as a copy of a document that is kept so far."""
        assert (self.reason[documents] == KEPT).all() and (self.reason[of] == KEPT).all()
        self.reason[documents] = reason
        self.documents = np.concatenate([self.documents, documents])
        self.of = np.concatenate([self.of, of])
        alike = np.ones(len(documents), np.float32) if similarity is None else similarity
        self.similarity = np.concatenate([self.similarity, alike])

    def keepers(self, documents: Numbers, through: Sequence[int] = ALL) -> Numbers:
        """For each document the one that is kept in its place: itself, or at the end of the chain of copies.

        -1 where the chain passes a document that was dropped for another reason than those of `through`. A document is
        dropped as a copy of one that is dropped later or never, so each chain ends.
        """
        order = np.argsort(self.documents)
        dropped, of = self.documents[order], self.of[order]
        found = documents.copy()
        while (again := np.flatnonzero((found >= 0) & (self.reason[found] != KEPT))).size:
            passes = np.isin(self.reason[found[again]], through)
            found[again] = np.where(passes, of[np.searchsorted(dropped, found[again])], -1)
        return found
