"""Windows and masks: everything is predicted exactly once, with context enough."""

import math
import random

import pytest

from megatron_bio.downstream.language_modelling.causal import CausalRows, windows
from megatron_bio.downstream.language_modelling.masked import (
    Draw,
    MaskedRows,
    masked_windows,
    units_of,
    word_of_pieces,
)
from megatron_bio.downstream.language_modelling.rows import TokenizedDocument


def by_characters(text: str, size: int = 2) -> TokenizedDocument:
    """Pieces of `size` characters that do not cross white space, whose id is the place of the first."""
    offsets, first = [], 0
    while first < len(text):
        end = first + 1
        while (
            end < len(text) and end - first < size and not text[end].isspace() and not text[first].isspace()
        ):
            end += 1
        offsets.append((first, end))
        first = end
    return TokenizedDocument(text=text, ids=[first for first, _ in offsets], offsets=offsets)


@pytest.mark.parametrize(("context", "stride"), [(2, 1), (8, 1), (8, 4), (8, 8), (9, 3)])
def test_causal_windows_predict_every_token_once(context: int, stride: int) -> None:
    for length in [*range(40), 1000]:
        predicted: list[int] = []
        for start, first, end in windows(length, context, stride):
            assert end - 1 - start <= context
            assert first - start >= stride or start == 0
            predicted += range(first, end)
        assert predicted == list(range(1, length)), length


@pytest.mark.parametrize("beginning", [None, 99])
def test_causal_rows_point_at_the_token_before_the_target(beginning: int | None) -> None:
    document = by_characters("abcdefghijklmnopqrstuvwxyz" * 3, size=1)
    made = CausalRows(context=10, stride=5, beginning=beginning, vocabulary=50).rows_of(document)
    targets = []
    for row in made.rows:
        assert len(row.ids) <= 10
        for position, target in zip(row.positions, row.targets, strict=True):
            assert row.ids[position] == (beginning if target == 0 else target - 1)
            targets.append(target)
    assert targets == list(document.ids)[beginning is None :]
    assert made.assumed_tokens == (beginning is None)
    assert made.assumed_nats == (math.log(50) if beginning is None else 0.0)
    assert made.predicted_bytes == 78


def test_masked_windows_count_every_unit_once() -> None:
    draw = random.Random(1)
    for _ in range(200):
        room = draw.randint(1, 30)
        stride = draw.randint(0, room)
        longest = [room if draw.random() < 0.1 else max(1, room // 4) for _ in range(draw.randint(0, 90))]
        lengths = [draw.randint(1, most) for most in longest]
        counted: list[int] = []
        for window in masked_windows(lengths, room, stride):
            assert sum(lengths[window.first : window.end]) <= room
            assert window.first <= window.counts_from <= window.counts_to <= window.end
            counted += range(window.counts_from, window.counts_to)
        assert counted == list(range(len(lengths))), (lengths, room, stride)


def test_masked_windows_give_context_on_both_sides() -> None:
    for window in masked_windows([1] * 500, room=40, stride=20):
        assert window.counts_from == 0 or window.counts_from - window.first >= 10
        assert window.counts_to == 500 or window.end - window.counts_to >= 10


def maker(**changes: object) -> MaskedRows:
    settings = {
        "context": 22,
        "stride": 10,
        "before": [-1],
        "after": [-2],
        "mask_id": -3,
        "mask": "words",
        "share": 0.3,
    }
    return MaskedRows(**{**settings, "seed": 1, **changes})


TEXT = "Aspirin inhibits  platelet\naggregation in the heart; β-cells too, and " * 6 + "x" * 70


@pytest.mark.parametrize("mask", ["words", "pieces"])
@pytest.mark.parametrize("share", [0.3, 1.0, None])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_masked_rows_hide_what_they_predict_and_predict_it_once(
    mask: str, share: float | None, size: int
) -> None:
    document = by_characters(TEXT, size)
    made = maker(mask=mask, share=share).rows_of(document)
    targets = []
    for row in made.rows:
        assert len(row.ids) <= 22
        assert (row.ids[0], row.ids[-1]) == (-1, -2)
        assert list(row.positions) == sorted(row.positions)
        assert all(row.ids[position] == -3 for position in row.positions)
        targets += row.targets
    assert len(targets) == len(set(targets))
    expected = [
        piece for piece in document.ids if not TEXT[piece].isspace() or share is None or mask == "pieces"
    ]
    assert sorted(targets) == expected if share in (1.0, None) else set(targets) < set(expected)


def test_whole_words_are_masked_in_every_window() -> None:
    document = by_characters(TEXT, 2)
    hidden = {target for row in maker().rows_of(document).rows for target in row.targets}
    starts = [
        match
        for match in range(len(TEXT))
        if not TEXT[match].isspace() and (match == 0 or TEXT[match - 1].isspace())
    ]
    for first in starts:
        end = next((place for place in range(first, len(TEXT)) if TEXT[place].isspace()), len(TEXT))
        pieces = {piece for piece in document.ids if first <= piece < end}
        assert pieces <= hidden or not pieces & hidden
    for row in maker().rows_of(document).rows:
        assert not hidden & set(row.ids), "what is predicted elsewhere helps here"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_words_that_are_masked_do_not_depend_on_the_pieces(size: int) -> None:
    made = maker(context=64).rows_of(by_characters(TEXT, size))
    as_one = maker(context=64).rows_of(by_characters(TEXT, 100))
    assert (made.words, made.predicted_bytes) == (as_one.words, as_one.predicted_bytes)
    assert made.words


def test_the_draw_has_its_share_and_depends_on_seed_and_text() -> None:
    draws = [Draw(1, "a text").of(number) for number in range(4000)]
    assert sum(value < 0.15 for value in draws) / 4000 == pytest.approx(0.15, abs=0.02)
    assert draws[:9] == [Draw(1, "a text").of(number) for number in range(9)]
    assert draws[:9] != [Draw(2, "a text").of(number) for number in range(9)]
    assert draws[:9] != [Draw(1, "another").of(number) for number in range(9)]


def test_pieces_belong_to_the_word_in_which_they_begin() -> None:
    # A piece with the space before it, one of a space alone, one of nothing.
    document = TokenizedDocument(text="ab  cd", ids=[1, 2, 3, 4], offsets=[(0, 2), (2, 3), (3, 6), (6, 6)])
    owners = word_of_pieces(document, [(0, 2), (4, 6)])
    assert owners == [0, None, 1, None]
    assert [(unit.first, unit.end, unit.word) for unit in units_of([0, 0, None, 1, 1, 1], "words", 2)] == [
        (0, 2, 0),
        (2, 3, None),
        (3, 5, 1),
        (5, 6, 1),
    ]
