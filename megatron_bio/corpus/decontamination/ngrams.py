"""Runs of words, as 64-bit numbers: the table of those of the benchmarks, and the search for them in a document.

The number of a run w₁…wₖ is ((w₁·B + w₂)·B + …) + wₖ modulo 2⁶⁴, with 64 bits of BLAKE2 for each word and B odd (a
polynomial hash, Karp and Rabin 1987). It is the same in every process and on every machine; two different runs
have the same number with a probability of 2⁻⁶⁴, so for 10¹⁰ runs in a corpus and 10⁶ in the table of about 1 in 2,000.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

BASE: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
SLOTS_PER_RUN = 16


def run_numbers(words: Numbers, longest: int) -> Iterator[tuple[int, Numbers]]:
    """For each length 1…`longest`: the length and the numbers of all runs of it, in the order in which they start."""
    numbers = np.zeros(len(words), np.uint64)
    for length in range(1, min(longest, len(words)) + 1):
        last = words[length - 1 :]
        numbers = numbers[: len(last)] * BASE + last
        yield length, numbers


@dataclass
class RunTableBuilder:
    """Collects the runs of the benchmarks; `owner` is the number of an item."""

    vocabulary: dict[str, int] = field(default_factory=dict)
    words: list[int] = field(default_factory=lambda: [0])
    runs: "array[int]" = field(default_factory=lambda: array("Q"))
    owners: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: set[int] = field(default_factory=set)

    def add(self, words: Sequence[str], length: int, owner: int) -> None:
        """All runs of `length` words."""
        numbers = np.array([self.words[self._place(word)] for word in words], np.uint64)
        for found, runs in run_numbers(numbers, length):
            if found == length:
                self.runs.frombytes(runs.tobytes())
                self.owners.extend([owner] * len(runs))
                self.lengths.add(length)

    def _place(self, word: str) -> int:
        place = self.vocabulary.get(word)
        if place is None:
            place = self.vocabulary[word] = len(self.words)
            self.words.append(int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little"))
        return place

    def table(self) -> "RunTable":
        """The table; of several owners of a run the first one is kept."""
        runs, first = np.unique(np.array(self.runs, np.uint64), return_index=True)
        return RunTable(
            vocabulary=self.vocabulary,
            words=np.array(self.words, np.uint64),
            runs=runs,
            owners=np.array(self.owners, np.int64)[first],
            lengths=frozenset(self.lengths),
        )


class RunTable:
    """Finds the first run of a document that is in the table, in some ten microseconds per hundred words."""

    def __init__(
        self,
        *,
        vocabulary: dict[str, int],
        words: Numbers,
        runs: Numbers,
        owners: npt.NDArray[np.int64],
        lengths: frozenset[int],
    ) -> None:
        """`vocabulary` gives the place of a word in `words` (0: not in any benchmark); `runs` are sorted."""
        self._vocabulary, self._words, self._runs, self._owners = vocabulary, words, runs, owners
        self._lengths = lengths
        bits = (SLOTS_PER_RUN * len(runs) + 1).bit_length()
        self._shift = np.uint64(64 - bits)
        # One bit of a number's head says in one memory access that most runs are not in the table.
        self._heads = np.zeros(1 << bits, bool)
        self._heads[runs >> self._shift] = True

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, words: Sequence[str]) -> int | None:
        """The owner of the run that starts first; None if no run of `words` is in the table."""
        place = self._vocabulary.get
        numbers = self._words[np.array([place(word, 0) for word in words], np.intp)]
        start, owner = len(words), None
        for length, runs in run_numbers(numbers, max(self._lengths, default=0)):
            if length not in self._lengths:
                continue
            for candidate in np.flatnonzero(self._heads[runs[:start] >> self._shift]):
                index = int(np.searchsorted(self._runs, runs[candidate]))
                if index < len(self._runs) and self._runs[index] == runs[candidate]:
                    start, owner = int(candidate), int(self._owners[index])
                    break
        return owner
