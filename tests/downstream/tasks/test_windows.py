import random

import pytest

from megatron_bio.downstream.tasks.windows import windows


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
