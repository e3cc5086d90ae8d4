"""How many documents, words and characters came from each source and had each fate."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AMOUNTS = ("documents", "words", "characters")


@dataclass
class Counts:
    """`amounts[source][reason]` is [documents, words, characters]; words are separated by white space."""

    amounts: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, source: str, reason: str, words: int, characters: int, documents: int = 1) -> None:
        """Counts a document, or several."""
        total = self.amounts.setdefault(source, {}).setdefault(reason, [0, 0, 0])
        for index, amount in enumerate((documents, words, characters)):
            total[index] += amount

    def merge(self, other: "Counts") -> None:
        """Adds all of `other`."""
        for source, reason, (documents, words, characters) in other:
            self.add(source, reason, words, characters, documents)

    def total(self) -> list[int]:
        """Of all sources and reasons."""
        return [int(total) for total in self._sum([amounts for _, _, amounts in self])]

    def by_reason(self) -> dict[str, list[int]]:
        """Of all sources, the reasons in the order of the alphabet."""
        reasons = sorted({reason for _, reason, _ in self})
        return {
            reason: [
                int(part) for part in self._sum([amounts for _, other, amounts in self if other == reason])
            ]
            for reason in reasons
        }

    def by_source(self) -> dict[str, list[int]]:
        """Of all reasons, the sources in the order of the alphabet."""
        return {source: Counts({source: self.amounts[source]}).total() for source in sorted(self.amounts)}

    def described(self) -> dict[str, dict[str, dict[str, int]]]:
        """For the manifest, sorted: source, reason, what is counted."""
        return {
            source: {reason: named(self.amounts[source][reason]) for reason in sorted(self.amounts[source])}
            for source in sorted(self.amounts)
        }

    def __iter__(self) -> Iterator[tuple[str, str, list[int]]]:
        for source, reasons in self.amounts.items():
            for reason, amounts in reasons.items():
                yield source, reason, amounts

    def _sum(self, rows: list[list[int]]) -> NDArray[np.int64]:
        totals: NDArray[np.int64] = np.array([[0, 0, 0], *rows], np.int64).sum(axis=0)
        return totals


def named(amounts: list[int]) -> dict[str, int]:
    """The three amounts with their names."""
    return dict(zip(AMOUNTS, amounts, strict=True))
