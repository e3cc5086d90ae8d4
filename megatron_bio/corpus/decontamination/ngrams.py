"""Runs of words, as 64-bit numbers: the table of those of the benchmarks, and the search for them in a document.

The number of a run w₁…wₖ is ((w₁·B + w₂)·B + …) + wₖ modulo 2⁶⁴, with 64 bits of BLAKE2 for each word and B odd (a
polynomial hash, Karp and Rabin 1987). It is the same in every process and on every machine. Two different runs have
the same number with a probability of 2⁻⁶⁴: with 10¹⁰ runs in a corpus and 10⁶ in the table, once in about 2,000 corpora.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from megatron_bio.corpus.decontamination.informative import informative_runs

Numbers = npt.NDArray[np.uint64]

BASE: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
SLOTS_PER_RUN: Final = 4
NO_RUN: Final = -1


def run_numbers(words: Numbers, longest: int) -> Iterator[tuple[int, Numbers]]:
    """For each length 1…`longest`: the length and the numbers of all runs of it, in the order in which they start."""
    numbers = np.zeros(len(words), np.uint64)
    for length in range(1, min(longest, len(words)) + 1):
        last = words[length - 1 :]
        numbers = numbers[: len(last)] * BASE + last
        yield length, numbers


def runs_of_length(words: Numbers, length: int) -> Numbers:
    """The numbers of all runs of one length, as `run_numbers` gives them, faster for a short text."""
    powers = BASE ** np.arange(length, dtype=np.uint64)
    return np.convolve(words, powers, "valid")


class RunTable:
    """The runs of one length, each with the number of the item that it is from."""

    def __init__(self, runs: Numbers, owners: npt.NDArray[np.int64]) -> None:
        """`runs` and `owners` go together; of several owners of one run the first is kept."""
        self._runs, first = np.unique(runs, return_index=True)
        self._owners = owners[first]
        bits = (SLOTS_PER_RUN * len(self._runs)).bit_length()
        self._shift = np.uint64(64 - bits)
        # The first bits of a number tell in one access to memory that most runs are not in the table.
        self._heads = np.zeros(1 << bits, bool)
        self._heads[self._runs >> self._shift] = True

    def __len__(self) -> int:
        return len(self._runs)

    def first(self, runs: Numbers) -> tuple[int, int]:
        """Where the first of `runs` stands that is in the table, and its owner; (NO_RUN, NO_RUN) if none is."""
        candidates = self._heads[runs >> self._shift].nonzero()[0]
        if not len(candidates):
            return NO_RUN, NO_RUN
        wanted = runs[candidates]
        places = np.minimum(self._runs.searchsorted(wanted), len(self._runs) - 1)
        found = (self._runs[places] == wanted).nonzero()[0]
        if not len(found):
            return NO_RUN, NO_RUN
        return int(candidates[found[0]]), int(self._owners[places[found[0]]])


class RunIndex:
    """The runs of all lengths: finds the first in a document."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        words: Numbers,
        tables: Mapping[int, RunTable],
        starts: tuple[int, RunTable],
    ) -> None:
        """`vocabulary` gives the place of a word in `words`; place 0 is for words of no benchmark.

        `starts` tells where a run may start that is shorter than the longest: how many words, and the table of these.
        """
        self._vocabulary, self._words, self._tables = vocabulary, words, tables
        self._start_length, self._starts = starts
        self._longest = max(tables, default=0)

    def find(self, words: Sequence[str]) -> int | None:
        """The owner of the run that starts first; None if no run of `words` is in the index."""
        places = np.fromiter(map(self._vocabulary.get, words, repeat(0)), np.intp, len(words))
        start, owner = len(words), None
        has_short_run = False
        for length, runs in run_numbers(self._words[places], self._longest):
            if length == self._start_length:
                has_short_run = self._starts.first(runs)[0] != NO_RUN
            if length in self._tables and (has_short_run or length == self._longest):
                at, of = self._tables[length].first(runs)
                if at != NO_RUN and at < start:
                    start, owner = at, of
        return owner


@dataclass
class RunIndexBuilder:
    """Collects the runs of the benchmarks: all of `longest` words, and whole texts of `shortest` words and more."""

    shortest: int
    longest: int
    vocabulary: dict[str, int] = field(default_factory=dict)
    words: list[int] = field(default_factory=lambda: [0])
    runs: "dict[int, tuple[array[int], array[int]]]" = field(default_factory=dict)
    """Length → the numbers of the runs, and their owners."""
    starts: "array[int]" = field(default_factory=lambda: array("Q"))
    """The numbers of the first `shortest` words of whole texts."""

    def add(self, words: Sequence[str], owner: int) -> bool:
        """Adds the runs of a text that say something; whether there are any."""
        length = min(len(words), self.longest)
        if length < self.shortest:
            return False
        informative = informative_runs(words, length)
        if not informative.any():
            return False
        numbers = np.array([self.words[self._place(word)] for word in words], np.uint64)
        kept = runs_of_length(numbers, length)[informative]
        runs, owners = self.runs.setdefault(length, (array("Q"), array("q")))
        runs.frombytes(kept.tobytes())
        owners.extend([owner] * len(kept))
        if length < self.longest:
            self.starts.append(int(runs_of_length(numbers[: self.shortest], self.shortest)[0]))
        return True

    def index(self) -> RunIndex:
        """The index of all that was added."""
        tables = {
            length: RunTable(np.array(runs, np.uint64), np.array(owners, np.int64))
            for length, (runs, owners) in sorted(self.runs.items())
        }
        starts = RunTable(np.array(self.starts, np.uint64), np.zeros(len(self.starts), np.int64))
        return RunIndex(self.vocabulary, np.array(self.words, np.uint64), tables, (self.shortest, starts))

    def _place(self, word: str) -> int:
        place = self.vocabulary.get(word)
        if place is None:
            place = self.vocabulary[word] = len(self.words)
            self.words.append(int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little"))
        return place
