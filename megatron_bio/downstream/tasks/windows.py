"""Runs of words that fit a model's row, overlapping, so that no word is lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

_SHARED = 4
"""One part in so many of a window is shared with the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Words `first` to `end` (exclusive) of a sentence; `own_first` to `own_end` are those that this window decides on."""

    first: int
    end: int
    own_first: int
    own_end: int


def windows(lengths: Sequence[int], room: int) -> list[Window]:
    """Windows of at most `room` pieces over words of these lengths (a longer word counts as `room`), each word decided on once.

    Of two windows that share words, the first decides on those with as many pieces behind them in it as before them in the
    second: each word has the most context that there is.
    """
    if sum(lengths) <= room:
        return [Window(first=0, end=len(lengths), own_first=0, own_end=len(lengths))]
    lengths = [min(length, room) for length in lengths]
    places = list(accumulate(lengths, initial=0))
    runs = list(_runs(lengths, room))
    bounds = [0]
    for (_, end), (first, _) in pairwise(runs):
        bound = max(first, bounds[-1] + 1)
        while bound < end and places[end] - places[bound + 1] >= places[bound] - places[first]:
            bound += 1
        bounds.append(bound)
    bounds.append(len(lengths))
    return [
        Window(first=first, end=end, own_first=bounds[number], own_end=bounds[number + 1])
        for number, (first, end) in enumerate(runs)
    ]


def _runs(lengths: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    first = 0
    while True:
        end, size = first, 0
        while end < len(lengths) and size + lengths[end] <= room:
            size += lengths[end]
            end += 1
        yield first, end
        if end == len(lengths):
            return
        shared = 0
        most = min(room // _SHARED, room - lengths[end])
        first, before = end, first
        while first > before + 1 and shared + lengths[first - 1] <= most:
            first -= 1
            shared += lengths[first]
