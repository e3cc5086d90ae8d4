"""Which tokens of one row the model has to predict: the definition of masking, which `csrc/mask_rows.cpp` follows bit for bit.

A word is a maskable token and the tokens directly behind it that continue it. A unit is one word, or several that follow each other
directly within a sample: special tokens, padding and the end of a sample lie between words that do not.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUMBER_BITS = np.uint64(0xFFFFFF)
"""Bits of a word's key that its number in the row stands in."""


@dataclass(frozen=True)
class Words:
    """The words of one row, in reading order."""

    columns: list[int]
    """Column of each word's first piece."""
    sizes: list[int]
    """Pieces of each word."""
    linked: list[bool]
    """Whether it stands directly behind the word before it."""

    @classmethod
    def find(
        cls, maskable: NDArray[np.bool_], continuation: NDArray[np.bool_], segments: NDArray[np.int32]
    ) -> "Words":
        """Part one row into words; all arrays are [S], and no token outside of the segments is maskable."""
        follows = np.zeros(len(maskable), dtype=np.bool_)
        follows[1:] = maskable[1:] & maskable[:-1] & (segments[1:] == segments[:-1])
        columns = np.flatnonzero(maskable & ~(follows & continuation))
        pieces = np.flatnonzero(maskable)
        firsts = np.searchsorted(pieces, columns)
        return cls(columns.tolist(), np.diff(firsts, append=len(pieces)).tolist(), follows[columns].tolist())


class Unit(NamedTuple):
    """Tokens that are predicted together: `size` of them from `column` on."""

    column: int
    size: int


def choose_units(words: Words, order: list[int], wanted: list[int], budget: int) -> list[Unit]:
    """Go through the words in `order` and take as many from each on as wanted, fitting and free; `budget` tokens at most.

    wanted: words of the unit that starts at each word. A unit ends early at the end of its sample, at a word that another unit has
    taken, and at one that is longer than what is left of the budget. When no word of the row fits, the start of one is taken.
    """
    taken = [False] * len(order)
    units: list[Unit] = []
    left = budget
    for start in order:
        size = 0
        for word in range(start, min(start + wanted[start], len(order))):
            if taken[word] or size + words.sizes[word] > left or not (word == start or words.linked[word]):
                break
            taken[word] = True
            size += words.sizes[word]
        if size:
            units.append(Unit(words.columns[start], size))
            left -= size
        if not left:
            break
    if order and not units:
        units.append(Unit(words.columns[order[0]], budget))
    return units


def random_order(columns: list[int], draws: NDArray[np.uint64]) -> list[int]:
    """Return the numbers of the words that start at `columns`, in the order of `draws` [S] at these columns.

    The low bits of a draw give way to the number, so that no two are equal.
    """
    keys = (draws[columns] & ~NUMBER_BITS) | np.arange(len(columns), dtype=np.uint64)
    keys.sort()
    order: list[int] = (keys & NUMBER_BITS).tolist()
    return order
