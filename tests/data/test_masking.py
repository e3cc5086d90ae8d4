"""Masked-LM: whole words, the asked share, 80/10/10, and never a special token."""

import math

import numpy as np
import pytest

from megatron_bio.data.errors import DataError
from megatron_bio.data.masking import Masked, Masking, mask_rows
from megatron_bio.data.randomness import Purpose, hash_words

VOCABULARY = 400
SPECIAL = [0, 1, 2, 3, 4]
CLS, SEP, MASK = 2, 3, 4
CONTINUATION = np.arange(VOCABULARY) >= 250


def masking(probability: float = 0.15, whole_word: bool = True) -> Masking:
    return Masking.for_vocabulary(
        probability, MASK, SPECIAL, CONTINUATION, "whole_word" if whole_word else "token"
    )


def random_rows(rows: int, length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one to three samples, some short, with about a third of the tokens continuing words."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((rows, length), dtype=np.int64)
    segments = np.zeros((rows, length), dtype=np.int32)
    for row in range(rows):
        column = 0
        for number in range(1, int(rng.integers(2, 5))):
            size = int(rng.integers(3, max(4, length // 2)))
            if column + size > length:
                break
            text = rng.integers(5, VOCABULARY, size)
            text[0], text[-1], text[size // 2] = CLS, SEP, SEP
            tokens[row, column : column + size] = text
            segments[row, column : column + size] = number
            column += size
    return tokens, segments


def keys(rows: int, seed: int = 1) -> np.ndarray:
    return hash_words(seed, Purpose.MASK_ROW, np.arange(rows))


def masked_cells(result: Masked) -> set[tuple[int, int]]:
    rows, slots = np.nonzero(result.weights)
    return set(zip(rows.tolist(), result.positions[rows, slots].tolist(), strict=True))


def words_of(tokens: list[int], whole_word: bool) -> list[list[int]]:
    """Columns of each word of one row, by a plain loop."""
    words: list[list[int]] = []
    for column, token in enumerate(tokens):
        if token in SPECIAL:
            continue
        joined = whole_word and CONTINUATION[token] and words and words[-1][-1] == column - 1
        if joined:
            words[-1].append(column)
        else:
            words.append([column])
    return words


def chosen_by_loop(tokens: np.ndarray, row_keys: np.ndarray, probability: float, whole_word: bool) -> set:
    """The specification: random order, take each word that fits."""
    cells = set()
    for row, text in enumerate(tokens.tolist()):
        words = words_of(text, whole_word)
        if not words:
            continue
        budget = max(1, round(probability * sum(map(len, words))))
        row_key = hash_words(int(row_keys[row]), Purpose.MASK_ORDER)
        order = sorted(words, key=lambda word: int(hash_words(int(row_key), word[0])))
        chosen: list[int] = []
        for word in order:
            if len(chosen) + len(word) <= budget:
                chosen += word
        cells |= {(row, column) for column in chosen or order[0][:budget]}
    return cells


@pytest.mark.parametrize("whole_word", [True, False])
@pytest.mark.parametrize("probability", [0.02, 0.15, 0.5, 0.9])
def test_the_chosen_words_are_those_of_the_plain_loop(probability: float, whole_word: bool) -> None:
    tokens, segments = random_rows(60, 96)
    result = mask_rows(tokens, segments, keys(60), masking(probability, whole_word))
    assert masked_cells(result) == chosen_by_loop(tokens, keys(60), probability, whole_word)


def test_words_that_all_exceed_the_budget_are_masked_in_part() -> None:
    tokens = np.array([[CLS, 10, 300, 301, 302, SEP, 11, 303, 304, SEP]])
    result = mask_rows(tokens, np.ones_like(tokens, dtype=np.int32), keys(1), masking(0.15))
    assert len(masked_cells(result)) == 1
    assert masked_cells(result) < {(0, 1), (0, 6)}


def test_words_are_masked_whole() -> None:
    tokens, segments = random_rows(200, 128)
    cells = masked_cells(mask_rows(tokens, segments, keys(200), masking()))
    partial = 0
    for row, text in enumerate(tokens.tolist()):
        inside = [[(row, column) in cells for column in word] for word in words_of(text, True)]
        partial += sum(any(word) and not all(word) for word in inside) > 0
        assert not text or not inside or any(map(any, inside)), "a row with text predicts at least one token"
    assert partial <= 200 * 0.02, "only rows in which no whole word fits"


def test_labels_are_the_original_tokens_and_other_cells_stay() -> None:
    tokens, segments = random_rows(50, 64)
    before = tokens.copy()
    result = mask_rows(tokens, segments, keys(50), masking())
    assert (tokens == before).all(), "the input is not changed"
    rows, slots = np.nonzero(result.weights)
    columns = result.positions[rows, slots]
    assert (result.labels[rows, slots] == before[rows, columns]).all()
    untouched = np.ones_like(before, dtype=bool)
    untouched[rows, columns] = False
    assert (result.tokens[untouched] == before[untouched]).all()


def test_special_tokens_and_padding_are_never_predicted_or_drawn() -> None:
    tokens, segments = random_rows(300, 64)
    result = mask_rows(tokens, segments, keys(300), masking(0.9))
    rows, slots = np.nonzero(result.weights)
    columns = result.positions[rows, slots]
    assert not np.isin(tokens[rows, columns], SPECIAL).any()
    assert (segments[rows, columns] > 0).all()
    assert not np.isin(result.tokens[rows, columns], [0, 1, CLS, SEP]).any()


def test_tokens_outside_segments_are_not_predicted() -> None:
    tokens = np.full((1, 16), 50)
    segments = np.array([[1] * 4 + [0] * 12], dtype=np.int32)
    result = mask_rows(tokens, segments, keys(1), masking(0.9))
    assert masked_cells(result) == {(0, column) for column in result.positions[0, :4].tolist()}
    assert result.positions.max() < 4 and result.weights.sum() == 4


def test_slots_are_filled_in_reading_order_and_unused_ones_are_zero() -> None:
    tokens, segments = random_rows(50, 64)
    result = mask_rows(tokens, segments, keys(50), masking())
    assert result.positions.shape == result.labels.shape == result.weights.shape == (50, 16)
    counts = result.weights.sum(axis=1).astype(int)
    for row, count in enumerate(counts.tolist()):
        assert result.weights[row].tolist() == [1.0] * count + [0.0] * (16 - count)
        assert (np.diff(result.positions[row, :count]) > 0).all()
        assert not result.positions[row, count:].any() and not result.labels[row, count:].any()


@pytest.mark.parametrize(
    ("probability", "length", "slots"), [(0.15, 512, 80), (0.15, 128, 24), (0.15, 53, 8), (0.3, 512, 160)]
)
def test_budget_is_the_share_of_a_row_rounded_up_to_eight(
    probability: float, length: int, slots: int
) -> None:
    assert masking(probability).budget(length) == slots
    assert slots >= math.ceil(probability * length)


@pytest.mark.parametrize("probability", [0.15, 0.5, 0.99])
def test_a_full_row_fits_into_its_budget(probability: float) -> None:
    for length in (8, 53, 100, 128):
        tokens = np.full((4, length), 50)
        result = mask_rows(tokens, np.ones_like(tokens, dtype=np.int32), keys(4), masking(probability))
        assert (result.weights.sum(axis=1) == max(1, round(probability * length))).all()


def test_shares_of_masks_random_tokens_and_kept_tokens() -> None:
    tokens = np.full((600, 400), 77)
    result = mask_rows(tokens, np.ones_like(tokens, dtype=np.int32), keys(600), masking())
    rows, slots = np.nonzero(result.weights)
    now = result.tokens[rows, result.positions[rows, slots]]
    assert len(now) == 600 * 60
    assert (now == MASK).mean() == pytest.approx(0.8, abs=0.01)
    assert (now == 77).mean() == pytest.approx(0.1, abs=0.01)
    drawn = now[(now != MASK) & (now != 77)]
    assert len(drawn) / len(now) == pytest.approx(0.1, abs=0.01)
    assert len(np.unique(drawn)) > 0.99 * (VOCABULARY - len(SPECIAL) - 1)
    assert drawn.mean() == pytest.approx((5 + VOCABULARY - 1) / 2, abs=8)


def test_every_column_is_equally_often_predicted() -> None:
    tokens = np.full((4000, 40), 77)
    result = mask_rows(tokens, np.ones_like(tokens, dtype=np.int32), keys(4000), masking())
    columns = result.positions[np.nonzero(result.weights)]
    assert np.abs(np.bincount(columns, minlength=40) / 4000 - 0.15).max() < 0.03


def test_a_row_depends_on_its_key_alone() -> None:
    tokens, segments = random_rows(20, 64)
    together = mask_rows(tokens, segments, keys(20), masking())
    for row in (0, 7, 19):
        alone = mask_rows(tokens[row : row + 1], segments[row : row + 1], keys(20)[row : row + 1], masking())
        assert alone.tokens.tolist() == together.tokens[row : row + 1].tolist()
        assert alone.positions.tolist() == together.positions[row : row + 1].tolist()
    other = mask_rows(tokens, segments, keys(20, seed=2), masking())
    assert other.positions.tolist() != together.positions.tolist()


def test_rows_without_text_predict_nothing() -> None:
    tokens = np.array([[CLS, SEP, 0, 0], [0, 0, 0, 0]])
    segments = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=np.int32)
    result = mask_rows(tokens, segments, keys(2), masking())
    assert not result.weights.any() and result.tokens.tolist() == tokens.tolist()


def test_a_vocabulary_of_special_tokens_is_refused() -> None:
    with pytest.raises(DataError, match="3 tokens are all special"):
        Masking.for_vocabulary(0.15, 2, [0, 1, 2], np.zeros(3, dtype=bool))
