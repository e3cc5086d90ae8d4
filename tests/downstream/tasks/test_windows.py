import random
from math import inf

import pytest

from megatron_bio.downstream.tasks.windows import Window, windows


@pytest.mark.parametrize("seed", range(200))
def test_every_word_is_decided_on_once_and_fits(seed: int) -> None:
    draw = random.Random(seed)
    room = draw.randint(1, 20)
    lengths = [draw.choice([1, 1, 2, 3, 30]) for _ in range(draw.randint(1, 60))]
    found = windows(lengths, room)
    owned = [word for window in found for word in range(window.own_first, window.own_end)]
    assert owned == list(range(len(lengths)))
    for window in found:
        assert window.first <= window.own_first < window.own_end <= window.end
        assert sum(min(length, room) for length in lengths[window.first : window.end]) <= room


def test_what_fits_is_one_window() -> None:
    (only,) = windows([2, 3, 5], 10)
    assert (only.first, only.end) == (0, 3)


def test_neighbours_share_words_and_each_decides_on_those_nearer_its_middle() -> None:
    first, second = windows([1] * 14, 8)
    assert (first.first, first.end, second.first, second.end) == (0, 8, 6, 14)
    assert (first.own_end, second.own_first) == (7, 7)


def test_of_words_of_unequal_lengths_pieces_decide() -> None:
    first, second, _ = windows([10, 10, 1, 5, 1, 1, 20, 8], 28)
    assert (first.end, second.first) == (6, 3)
    assert (first.own_end, second.own_first) == (4, 4)


@pytest.mark.parametrize("seed", range(200))
def test_each_word_is_decided_on_where_it_has_most_context(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.choice([1, 1, 2, 3]) for _ in range(draw.randint(30, 90))]
    found = windows(lengths, 24)
    for owner in found:
        for word in range(owner.own_first, owner.own_end):
            holding = [window for window in found if window.first <= word < window.end]
            assert context(lengths, owner, word) == max(context(lengths, window, word) for window in holding)


def context(lengths: list[int], window: Window, word: int) -> float:
    """Pieces on the side where there are fewer; an end of the sentence lacks nothing."""
    before = sum(lengths[window.first : word]) if window.first else inf
    behind = sum(lengths[word + 1 : window.end]) if window.end < len(lengths) else inf
    return min(before, behind)
