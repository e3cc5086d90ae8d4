from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from megatron_bio.config.errors import ConfigurationError

pytest.importorskip("transformers")

from megatron_bio.downstream.tasks.span_decoding import (
    ANSWERS_KEPT,
    MOST_ANSWER_PIECES,
    best_answers,
    softmax,
)
from megatron_bio.downstream.tasks.span_questions import SPAN_SETTINGS
from megatron_bio.downstream.tasks.span_windows import (
    ANSWER_NOT_WHOLE,
    QUESTION_SHORTENED,
    PairForm,
    Reading,
    WindowPlace,
    encode_readings,
    pieces_of,
    window_beginnings,
)
from tests.downstream.tasks.question_models import answer, bert, gpt, roberta, texts

QUESTION = "What lowers fever?"
CONTEXT = "Aspirin (ASA) inhibits cyclooxygenase-2 in human platelets; β-blockers \U0001f600 don't. Naïve  mice\n got none."
SMALL = replace(SPAN_SETTINGS, max_length=40, stride=8)


def reading(context: str = CONTEXT, **changes: Any) -> Reading:
    return Reading(**{"example": 0, "question": QUESTION, "context": context, **changes})


@pytest.mark.parametrize("make", [bert, roberta])
def test_a_row_is_what_the_tokenizer_makes_of_the_pair(make: Callable[[], Any]) -> None:
    tokenizer = make()
    encoded = encode_readings([reading()], tokenizer, SPAN_SETTINGS, training=False)
    expected = tokenizer(QUESTION, CONTEXT)
    assert encoded.features == [{name: expected[name] for name in encoded.features[0]}]
    assert ("token_type_ids" in encoded.features[0]) is (make is bert)
    assert encoded.places[0].no_answer == 0


def test_a_row_of_a_gpt_ends_with_its_end_of_text_piece() -> None:
    tokenizer = gpt()
    row = encode_readings([reading()], tokenizer, SPAN_SETTINGS, training=False)
    assert row.features[0]["input_ids"] == [
        *tokenizer(QUESTION, CONTEXT)["input_ids"],
        tokenizer.eos_token_id,
    ]
    assert row.places[0].no_answer == len(row.features[0]["input_ids"]) - 1


def test_a_tokenizer_without_a_piece_for_no_answer_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="neither a classification piece nor an end-of-text piece"):
        PairForm.of(gpt(unk_token="<s>"))


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ConfigurationError, match=r"Slow gives no offsets.*tokenizer\.json"):
        PairForm.of(Slow())  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [bert, roberta, gpt])
def test_every_run_of_words_is_found_again_from_its_pieces(make: Callable[[], Any]) -> None:
    pieces = pieces_of([CONTEXT], make())[CONTEXT]
    words = [found for found in CONTEXT.split() if CONTEXT.count(found) == 1]
    for number, first in enumerate(words):
        for last in words[number:]:
            sought = answer(CONTEXT[CONTEXT.index(first) : CONTEXT.index(last) + len(last)], CONTEXT)
            covering = pieces.covering(sought)
            assert covering is not None
            assert CONTEXT[pieces.starts[covering[0]] : pieces.ends[covering[1]]].strip() == sought.text


def test_a_part_of_a_piece_is_covered_by_all_of_it() -> None:
    pieces = pieces_of([CONTEXT], bert())[CONTEXT]
    covering = pieces.covering(answer("irin", CONTEXT))
    assert covering is not None
    assert CONTEXT[pieces.starts[covering[0]] : pieces.ends[covering[1]]] == "Aspirin"
    assert pieces.covering(answer("  ", CONTEXT)) is None


@pytest.mark.parametrize(
    ("pieces", "room", "shared", "beginnings"),
    [
        (0, 5, 2, [0]),
        (5, 5, 2, [0]),
        (6, 5, 2, [0, 3]),
        (8, 5, 2, [0, 3]),
        (9, 5, 2, [0, 3, 6]),
        (6, 5, 0, [0, 5]),
    ],
)
def test_windows(pieces: int, room: int, shared: int, beginnings: list[int]) -> None:
    assert list(window_beginnings(pieces, room, shared)) == beginnings


@pytest.mark.parametrize("make", [bert, roberta, gpt])
def test_windows_hold_all_of_the_text_and_share_pieces(make: Callable[[], Any]) -> None:
    tokenizer = make()
    encoded = encode_readings([reading(CONTEXT * 3)], tokenizer, SMALL, training=False)
    whole = pieces_of([CONTEXT * 3], tokenizer)[CONTEXT * 3]
    assert len(encoded.features) > 2
    assert {len(row["input_ids"]) for row in encoded.features[:-1]} == {40}
    for row, place in zip(encoded.features, encoded.places, strict=True):
        size = len(place.starts)
        assert (
            row["input_ids"][place.first : place.first + size] == whole.ids[place.begin : place.begin + size]
        )
        assert (place.starts == whole.starts[place.begin : place.begin + size]).all()
    for place, after in zip(encoded.places, encoded.places[1:], strict=False):
        assert place.begin + len(place.starts) - after.begin == 8
    assert encoded.places[-1].begin + len(encoded.places[-1].starts) == len(whole.ids)


def test_training_rows_point_at_the_answer_or_at_no_answer() -> None:
    tokenizer = bert()
    context = "mice " * 40 + "aspirin works " + "mice " * 40
    sought = answer("aspirin works", context)
    encoded = encode_readings([reading(context, answer=sought)], tokenizer, SMALL, training=True)
    seen = 0
    for row, place in zip(encoded.features, encoded.places, strict=True):
        first, last = row["start_positions"], row["end_positions"]
        if (first, last) != (0, 0):
            seen += 1
            assert (
                context[place.starts[first - place.first] : place.ends[last - place.first]] == "aspirin works"
            )
    assert 1 <= seen < len(encoded.features)
    assert seen == sum("aspirin works" in text for text in texts(encoded, [context]))


def test_a_question_without_an_answer_points_at_no_answer_in_every_window() -> None:
    encoded = encode_readings([reading(CONTEXT * 3)], gpt(), SMALL, training=True)
    ends = [len(row["input_ids"]) - 1 for row in encoded.features]
    assert [row["start_positions"] for row in encoded.features] == ends
    assert [row["end_positions"] for row in encoded.features] == ends


def test_an_answer_that_no_window_holds_is_not_trained_on_and_counted() -> None:
    context = "mice " * 60
    long = encode_readings(
        [reading(context, answer=answer(("mice " * 50).strip(), context)), reading()],
        bert(),
        SMALL,
        training=True,
    )
    assert long.shortened == {ANSWER_NOT_WHOLE: 1}
    assert long.features == encode_readings([reading()], bert(), SMALL, training=True).features


def test_a_long_question_is_shortened_to_half_a_row_and_counted() -> None:
    encoded = encode_readings([reading(question="mice " * 30)], bert(), SMALL, training=False)
    assert encoded.shortened == {QUESTION_SHORTENED: 1}
    assert {place.first for place in encoded.places} == {2 + (40 - 3) // 2}


def test_a_length_without_room_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"max_length is 6, of which special pieces take 3: expected at least 7"
    ):
        encode_readings([reading()], bert(), replace(SMALL, max_length=6), training=False)


def place_of(words: int, begin: int = 0) -> WindowPlace:
    """A window of words of one letter, behind two other pieces; 0 stands for no answer."""
    starts = 2 * np.arange(begin, begin + words, dtype=np.int32)
    return WindowPlace(example=0, text=0, begin=begin, first=2, starts=starts, ends=starts + 1, no_answer=0)


def test_the_best_answers_are_those_of_a_plain_search() -> None:
    random = np.random.default_rng(1)
    context = " ".join("abcdefghij" * 6)
    windows = [
        (place_of(40), random.normal(size=(2, 43)).astype(np.float32)),
        (place_of(30, begin=30), random.normal(size=(2, 33)).astype(np.float32)),
    ]
    expected: dict[tuple[int, int], float] = {}
    for place, logits in windows:
        for first in range(len(place.starts)):
            for last in range(first, min(first + MOST_ANSWER_PIECES, len(place.starts))):
                score = float(logits[0, 2 + first]) + float(logits[1, 2 + last])
                key = (2 * (place.begin + first), 2 * (place.begin + last) + 1)
                expected[key] = max(score, expected.get(key, score))
    best = sorted(expected.items(), key=lambda item: -item[1])[:ANSWERS_KEPT]
    found = best_answers(context, windows)
    assert [((one.start, one.end), one.score) for one in found.answers] == best
    assert all(context[one.start : one.end] == one.text for one in found.answers)
    assert sum(one.probability for one in found.answers) == pytest.approx(1)
    no_answer = min(float(logits[0, 0]) + float(logits[1, 0]) for _, logits in windows)
    assert found.no_answer_probability == pytest.approx(1 / (1 + np.exp(best[0][1] - no_answer)))


def test_an_answer_has_no_white_space_at_its_ends_and_lies_in_the_text() -> None:
    tokenizer = gpt()
    encoded = encode_readings([reading(" \n")], tokenizer, SMALL, training=False)
    blank = [np.zeros((2, len(row["input_ids"])), np.float32) for row in encoded.features]
    assert best_answers(" \n", list(zip(encoded.places, blank, strict=True))).answers == ()
    logits = np.zeros((2, 5), np.float32)
    logits[:, [0, 1, 4]] = 99  # the question and special pieces are no answers
    found = best_answers("a b", [(place_of(2), logits)])
    assert [one.text for one in found.answers] == ["a", "a b", "b"]
    assert found.no_answer_probability == pytest.approx(1)


def test_an_empty_text_has_no_answer() -> None:
    found = best_answers("", [(place_of(0), np.zeros((2, 3), np.float32))])
    assert (found.answers, found.no_answer_probability) == ((), 1.0)


def test_softmax_of_large_numbers() -> None:
    assert softmax([1e4, 1e4]) == [0.5, 0.5]
    assert softmax([]) == []
