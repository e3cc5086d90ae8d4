"""The laws of masking: shares, lengths of n-grams and spans, replacements, budgets; all on fixed seeds."""

import math
from typing import Any

import numpy as np
import pytest

from megatron_bio.data import masking as masking_module
from megatron_bio.data.masked_units import Unit, choose_units
from megatron_bio.data.masking import Masked, Masking, mask_rows, mask_rows_by_definition
from megatron_bio.data.randomness import Purpose, hash_words

VOCABULARY = 400
CLS, SEP, MASK = 2, 3, 4
SPECIAL = [0, 1, CLS, SEP, MASK]
CONTINUATION = np.arange(VOCABULARY) >= 250
STRATEGIES = ("token", "whole_word", "ngram", "span")
KINDS = {"[MASK]": 0.8, "random": 0.1, "kept": 0.1}


def masking(strategy: str, probability: float = 0.15, **options: Any) -> Masking:
    return Masking.for_vocabulary(probability, MASK, SPECIAL, CONTINUATION, strategy, **options)


def keys(rows: int, seed: int = 1) -> np.ndarray:
    return hash_words(seed, Purpose.MASK_ROW, np.arange(rows))


def one_sample(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one sample whose words are of one piece, all of them token 77."""
    tokens = np.full((rows, length), 77)
    tokens[:, 0], tokens[:, -1] = CLS, SEP
    return tokens, np.ones_like(tokens, dtype=np.int32)


def packed(rows: int, length: int = 512, samples: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pairs of texts with words of several pieces, padding behind them."""
    rng = np.random.default_rng(seed)
    tokens, segments = np.zeros((rows, length), dtype=np.int64), np.zeros((rows, length), dtype=np.int32)
    for row in range(rows):
        column = 0
        for number in range(1, samples + 1):
            size = int(rng.integers(6, 2 * length // samples))
            if column + size > length:
                break
            text = np.where(
                rng.random(size) < 0.4, rng.integers(250, VOCABULARY, size), rng.integers(5, 250, size)
            )
            text[[0, size // 2, -1]] = CLS, SEP, SEP
            tokens[row, column : column + size], segments[row, column : column + size] = text, number
            column += size
    return tokens, segments


def words_of(tokens: np.ndarray, strategy: str) -> list[list[int]]:
    words: list[list[int]] = []
    for column, token in enumerate(tokens.tolist()):
        if token in SPECIAL:
            continue
        if strategy != "token" and CONTINUATION[token] and words and words[-1][-1] == column - 1:
            words[-1].append(column)
        else:
            words.append([column])
    return words


def predicted(result: Masked, row: int) -> list[int]:
    return result.positions[row][result.weights[row] > 0].tolist()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[list[Unit]]:
    """The units of each row that is masked by definition, in the order in which they were chosen."""
    units: list[list[Unit]] = []

    def choose(*arguments: Any) -> list[Unit]:
        units.append(choose_units(*arguments))
        return list(units[-1])

    monkeypatch.setattr(masking_module, "choose_units", choose)
    return units


def chi_square(counts: np.ndarray, shares: np.ndarray) -> float:
    expected = counts.sum() * shares / shares.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def assert_within_four_errors(count: int, total: int, share: float) -> None:
    assert abs(count / total - share) < 4 * math.sqrt(share * (1 - share) / total), (
        f"{count} of {total}, not {share}"
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("probability", [0.05, 0.15, 0.4])
def test_the_share_of_each_row_is_used_up(strategy: str, probability: float) -> None:
    tokens, segments = packed(100, samples=4)
    result = mask_rows(tokens, segments, keys(100), masking(strategy, probability))
    for row in range(100):
        words, chosen = words_of(tokens[row], strategy), set(predicted(result, row))
        left = round(probability * sum(map(len, words))) - len(chosen)
        assert left >= 0
        assert all(set(word) <= chosen or not set(word) & chosen for word in words), "words are never split"
        assert all(set(word) <= chosen or len(word) > left for word in words), (
            "a word that still fits is taken"
        )


@pytest.mark.parametrize("strategy", ["token", "whole_word", "ngram"])
def test_kinds_are_drawn_for_each_token(strategy: str) -> None:
    tokens, segments = one_sample(400, 402)
    result = mask_rows(tokens, segments, keys(400), masking(strategy))
    rows, slots = np.nonzero(result.weights)
    now = result.tokens[rows, result.positions[rows, slots]]
    assert len(now) == 400 * 60
    random_share = 0.1 * (1 - 1 / (VOCABULARY - len(SPECIAL)))
    assert_within_four_errors(int((now == MASK).sum()), len(now), 0.8)
    assert_within_four_errors(int(((now != MASK) & (now != 77)).sum()), len(now), random_share)
    assert_within_four_errors(int((now == 77).sum()), len(now), 0.2 - random_share)
    # Tokens side by side are drawn apart: equal kinds as often as by chance.
    masked = result.tokens == MASK
    chosen = np.zeros_like(masked)
    chosen[rows, result.positions[rows, slots]] = True
    both = chosen[:, 1:] & chosen[:, :-1]
    assert_within_four_errors(int((both & masked[:, 1:] & masked[:, :-1]).sum()), int(both.sum()), 0.64)


def test_kinds_are_drawn_for_each_span(recorded: list[list[Unit]]) -> None:
    tokens, segments = one_sample(500, 402)
    result = mask_rows_by_definition(tokens, segments, keys(500), masking("span"))
    kinds = dict.fromkeys(KINDS, 0)
    spans = [(row, unit) for row, units in enumerate(recorded) for unit in units if unit.size > 1]
    for row, unit in spans:
        now = result.tokens[row, unit.column : unit.column + unit.size]
        kind = "[MASK]" if now[0] == MASK else "kept" if (now == 77).all() else "random"
        kinds[kind] += 1
        assert kind != "[MASK]" or (now == MASK).all()
        assert kind == "[MASK]" or not (now == MASK).any()
        assert kind != "random" or (now == 77).mean() <= 0.5
        assert kind != "random" or unit.size < 5 or len(set(now.tolist())) > 2, (
            "each token is drawn by itself"
        )
    for kind, share in KINDS.items():
        assert_within_four_errors(kinds[kind], len(spans), share)


@pytest.mark.parametrize(
    ("strategy", "options", "law", "critical"),
    [
        ("ngram", {}, [6, 3, 2], 18.4),
        ("ngram", {"max_ngram": 5}, [60, 30, 20, 15, 12], 23.5),
        ("span", {}, [0.8**words for words in range(10)], 33.7),
        ("span", {"span_probability": 0.5, "longest_span": 4}, [8, 4, 2, 1], 21.1),
        ("whole_word", {}, [1], 0.1),
    ],
)
def test_lengths_follow_their_law(
    strategy: str, options: dict[str, Any], law: list[float], critical: float, recorded: list[list[Unit]]
) -> None:
    """The first unit of a row meets neither budget nor another unit; away from the end its length is as drawn.

    critical: chi-square that is exceeded with probability 1e-4.
    """
    tokens, segments = one_sample(3000, 130)
    mask_rows_by_definition(tokens, segments, keys(3000), masking(strategy, **options))
    firsts = [units[0] for units in recorded if units[0].column <= 128 - len(law)]
    sizes = np.bincount([unit.size for unit in firsts], minlength=len(law) + 1)
    assert len(sizes) == len(law) + 1 and len(firsts) > 2700
    assert chi_square(sizes[1:], np.array(law)) < critical


@pytest.mark.parametrize("strategy", ["ngram", "span"])
def test_units_stay_inside_of_a_part_and_never_overlap(strategy: str, recorded: list[list[Unit]]) -> None:
    tokens, segments = packed(60)
    mask_rows_by_definition(tokens, segments, keys(60), masking(strategy, 0.4))
    longest = 0
    for row, units in enumerate(recorded):
        cells = [range(unit.column, unit.column + unit.size) for unit in units]
        columns = [column for cell in cells for column in cell]
        assert len(columns) == len(set(columns))
        assert not np.isin(tokens[row, columns], SPECIAL).any()
        longest = max([longest, *map(len, cells)])
        for cell in cells:
            assert len(set(segments[row, cell].tolist())) == 1
            assert not CONTINUATION[tokens[row, cell[0]]] or tokens[row, cell[0] - 1] in SPECIAL
    assert longest >= 6


def test_segments_alone_part_units_and_words() -> None:
    """Without [CLS] between two samples, neither a unit nor a word reaches over."""
    tokens, segments = np.array([[50, 300, 300, 50]]), np.array([[1, 1, 2, 2]], dtype=np.int32)
    for strategy in ("whole_word", "ngram"):
        for seed in range(50):
            result = mask_rows(tokens, segments, keys(1, seed), masking(strategy, 0.5, max_ngram=4))
            assert predicted(result, 0) in ([0, 1], [2, 3])


ADVERSARIES: dict[str, list[tuple[int, ...]]] = {
    "one word": [(CLS, 9, 300, 300, SEP)],
    "single tokens": [(CLS, *[9] * 509, SEP)],
    "one giant word": [(CLS, 9, *[300] * 508, SEP)],
    "two giant words": [(CLS, 9, *[300] * 253, SEP, 9, *[300] * 253, SEP)],
    "sixteen tiny samples": [(CLS, 9, 300, SEP)] * 16,
    "one token": [(CLS, 9, SEP)],
    "special tokens only": [(CLS, SEP)],
    "empty": [],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ADVERSARIES)
@pytest.mark.parametrize("probability", [0.001, 0.15, 0.999])
@pytest.mark.parametrize("mask", [mask_rows, mask_rows_by_definition])
def test_the_budget_is_never_exceeded(strategy: str, name: str, probability: float, mask: Any) -> None:
    text = [token for sample in ADVERSARIES[name] for token in sample]
    numbers = [number for number, sample in enumerate(ADVERSARIES[name], 1) for _ in sample]
    tokens = np.array([text + [0] * (512 - len(text))] * 20)
    segments = np.array([numbers + [0] * (512 - len(text))] * 20, dtype=np.int32)
    rules = masking(strategy, probability)
    result = mask(tokens, segments, keys(20), rules)
    maskable = len(text) - sum(token in SPECIAL for token in text)
    share = max(1, round(probability * maskable)) if maskable else 0
    assert share <= rules.budget(512) or not maskable
    for row in range(20):
        chosen = predicted(result, row)
        assert (1 if maskable else 0) <= len(chosen) <= share
        assert not np.isin(tokens[row, chosen], SPECIAL).any()
        assert chosen == sorted(set(chosen))
        if strategy == "token" or "giant" in name:
            assert len(chosen) == share or (name == "two giant words" and probability > 0.9)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_replacements_are_uniform_over_ordinary_tokens(strategy: str) -> None:
    tokens, segments = one_sample(1500, 402)
    result = mask_rows(tokens, segments, keys(1500, seed=3), masking(strategy))
    now = result.tokens[result.tokens != tokens]
    drawn = np.bincount(now[now != MASK], minlength=VOCABULARY)
    ordinary = np.setdiff1d(np.arange(VOCABULARY), [*SPECIAL, 77])
    assert drawn.sum() == drawn[ordinary].sum() > 7000
    # 394 - 1 degrees of freedom: mean 393, deviation sqrt(2 x 393) = 28.
    assert 393 - 4 * 28 < chi_square(drawn[ordinary], np.ones(len(ordinary))) < 393 + 4 * 28


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_masks_do_not_depend_on_the_batch(strategy: str) -> None:
    tokens, segments = packed(12, samples=5)
    together = mask_rows(tokens, segments, keys(12), masking(strategy))
    for row in (0, 5, 11):
        alone = mask_rows(
            tokens[row : row + 1], segments[row : row + 1], keys(12)[row : row + 1], masking(strategy)
        )
        for name in ("tokens", "positions", "labels", "weights"):
            assert getattr(alone, name).tolist() == getattr(together, name)[row : row + 1].tolist()


@pytest.mark.parametrize("strategy", ["token", "whole_word"])
def test_each_token_of_a_packed_row_has_the_same_chance(strategy: str) -> None:
    """A short sample is not masked more than a long one beside it."""
    text = [CLS, 9, 9, SEP, CLS, *[9] * 90, SEP, CLS, *[9] * 8, SEP]
    tokens = np.array([text] * 4000)
    segments = np.array([[1] * 4 + [2] * 92 + [3] * 10] * 4000, dtype=np.int32)
    result = mask_rows(tokens, segments, keys(4000), masking(strategy))
    columns = result.positions[result.weights > 0]
    for number, size in ((1, 2), (2, 90), (3, 8)):
        assert_within_four_errors(int((segments[0, columns] == number).sum()), 4000 * size, 0.15)
