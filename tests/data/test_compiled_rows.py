"""Compiled masking and rows equal their definitions bit for bit, and refuse arrays that do not fit."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio import native
from megatron_bio.data import dataset as dataset_module
from megatron_bio.data.bert_rows import Pairs, Placement, SpecialTokens, lay_out, read_tokens
from megatron_bio.data.compiled_rows import compiled_rows
from megatron_bio.data.dataset import BertDataset, BertRecipe, masked_batch
from megatron_bio.data.errors import DataError
from megatron_bio.data.masking import Masked, Masking, mask_rows, mask_rows_by_definition
from megatron_bio.data.randomness import Purpose, hash_words
from megatron_bio.data.sources import CombinedReader

pytestmark = pytest.mark.skipif(native.compiled is None, reason="the compiled parts are not built")

VOCABULARY = 200
SPECIAL = SpecialTokens(cls=2, sep=3, mask=4, pad=0)
CONTINUATION = np.arange(VOCABULARY) >= 120
STRATEGIES = ("token", "whole_word", "ngram", "span")


def masking(strategy: str, probability: float = 0.15, **options: Any) -> Masking:
    return Masking.for_vocabulary(
        probability, SPECIAL.mask, [0, 1, 2, 3, 4], CONTINUATION, strategy, **options
    )


def keys(rows: int) -> np.ndarray:
    return hash_words(7, Purpose.MASK_ROW, np.arange(rows))


def equal(one: Any, other: Any) -> None:
    for field in dataclasses.fields(one):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        assert mine.dtype == its.dtype and mine.shape == its.shape, field.name
        assert np.array_equal(mine, its), field.name


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(STRATEGIES),
    st.floats(0.01, 0.99) | st.sampled_from([0.125, 0.25, 0.5, 0.75]),
    st.integers(0, 2**32),
    st.integers(1, 90),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.floats(0.05, 0.95),
    st.integers(1, 12),
)
def test_masking_equals_its_definition(
    strategy: str, probability: float, seed: int, length: int, special: float, continues: float, longest: int
) -> None:
    rng = np.random.default_rng(seed)
    tokens = np.where(
        rng.random((4, length)) < continues,
        rng.integers(120, VOCABULARY, (4, length)),
        rng.integers(5, 120, (4, length)),
    )
    tokens = np.where(rng.random((4, length)) < special, rng.integers(0, 5, (4, length)), tokens)
    segments = (np.cumsum(rng.random((4, length)) < 0.05, axis=1) % 4).astype(np.int32)
    rules = masking(
        strategy, probability, max_ngram=longest, longest_span=longest, span_probability=1 - continues
    )
    arguments = tokens, segments, keys(4), rules
    equal(mask_rows(*arguments), mask_rows_by_definition(*arguments))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("dtype", "packing", "sentence_order"),
    [(np.uint16, True, "sop"), (np.int32, True, "nsp"), (np.uint16, True, "none"), (np.int32, False, "sop")],
)
def test_batches_equal_those_without_compiled_code(
    strategy: str,
    dtype: type,
    packing: bool,
    sentence_order: Any,
    memory_source: Any,
    random_documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = [memory_source(random_documents(60, seed=seed), dtype) for seed in (1, 2)]
    source = CombinedReader(sources, ["a", "b"])
    recipe = BertRecipe(
        sequence_length=48,
        special=SPECIAL,
        masking=masking(strategy),
        short_sequence_probability=0.2,
        sentence_order=sentence_order,
        packing=packing,
        max_samples_per_row=5 if packing else 1,
        seed=5,
    )
    dataset = BertDataset(source, recipe.samples(source, np.arange(120)), recipe)
    samples = np.array([5, -1, 0, len(dataset) - 1, 17, -1])
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(compiled_rows(*arguments))
        return calls[-1]

    monkeypatch.setattr(dataset_module, "compiled_rows", counted)
    fast = dataset.batch(np.arange(3 * len(dataset))), dataset.evaluation_batch(samples)
    assert len(calls) == 2 and all(calls), "the compiled code made them"
    monkeypatch.setattr(native, "compiled", None)
    slow = dataset.batch(np.arange(3 * len(dataset))), dataset.evaluation_batch(samples)
    assert calls[2:] == [None, None]
    for one, other in zip(fast, slow, strict=True):
        equal(one, other)
        assert one.order_labels.any() == (sentence_order != "none") or len(one) < 9


def packed(length: int = 64) -> tuple[np.ndarray, Pairs, Placement]:
    """Rows of up to three samples, one of them full and one empty, the samples in no order."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(5, VOCABULARY, 4000).astype(np.uint16)
    places: list[tuple[int, int, int, int]] = [(0, 0, 1, length - 3)]
    for row in range(2, 40):
        column = 0
        for number in range(1, int(rng.integers(2, 5))):
            size = int(rng.integers(2, 18))
            places.append((row, column, number, size))
            column += size + 3
    row, column, number, sizes = np.array(places)[rng.permutation(len(places))].T.copy()
    second = np.where(rng.random(len(sizes)) < 0.3, 0, rng.integers(1, sizes))
    lengths = np.stack([sizes - second, second], axis=1)
    labels = (second > 0) & (rng.random(len(sizes)) < 0.5)
    starts = rng.integers(0, 3900, (len(sizes), 2))
    return tokens, Pairs(starts, lengths, labels), Placement(40, row, column, number)


def source_of(tokens: np.ndarray, memory_source: Any) -> Any:
    return dataclasses.replace(
        memory_source([[[1]]]), tokens=tokens, sequence_lengths=np.array([len(tokens)], dtype=np.int32)
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_of_several_samples_equal_the_definition(
    strategy: str, memory_source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, pairs, place = packed()
    arrays = compiled_rows(
        source_of(tokens, memory_source), pairs, place, keys(40), 64, SPECIAL, 3, masking(strategy)
    )
    assert arrays is not None
    monkeypatch.setattr(native, "compiled", None)
    ids = np.arange(40)
    text = read_tokens(source_of(tokens, memory_source), pairs)
    layout = lay_out(text, pairs, place, 64, SPECIAL, 3)
    expected = masked_batch(layout, keys(40), masking(strategy), ids)
    equal(type(expected)(**arrays, sample_ids=ids), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("row", -1),
        ("row", 40),
        ("column", -1),
        ("column", 60),
        ("column", 2**62),
        ("number", 0),
        ("number", 4),
        ("starts", -1),
        ("starts", 3999),
        ("starts", 2**62),
        ("lengths", 65),
        ("lengths", -1),
        ("lengths", 2**62),
        ("lengths", -(2**62)),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    name: str, value: int, memory_source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, pairs, place = packed()
    changed = (pairs if hasattr(pairs, name) else place).__dict__[name]
    changed[11, ...] = value
    with pytest.raises(ValueError, match=r"sample 11.*expected"):
        compiled_rows(
            source_of(tokens, memory_source), pairs, place, keys(40), 64, SPECIAL, 3, masking("token")
        )


def test_a_sample_across_two_files_is_refused(memory_source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, pairs, place = packed()
    middle = int(pairs.starts[3, 0]) + 1
    halves = [source_of(half, memory_source) for half in (tokens[:middle], tokens[middle:])]
    with pytest.raises(ValueError, match="inside of one file, found 4000 tokens in 2 files"):
        compiled_rows(
            CombinedReader(halves, ["a", "b"]), pairs, place, keys(40), 64, SPECIAL, 3, masking("token")
        )


@pytest.mark.parametrize("token", [VOCABULARY, 60000])
def test_a_token_that_is_not_in_the_vocabulary_is_refused(
    token: int, memory_source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, pairs, place = packed()
    tokens[pairs.starts[0, 0]] = token
    with pytest.raises(DataError, match=f"tokens from 0 to 199, found {token}"):
        compiled_rows(
            source_of(tokens, memory_source), pairs, place, keys(40), 64, SPECIAL, 3, masking("token")
        )
    rows = np.full((1, 8), 9)
    rows[0, 3] = token
    for mask in (mask_rows, mask_rows_by_definition):
        with pytest.raises(DataError, match=f"tokens from 0 to 199, found {token}"):
            mask(rows, np.ones_like(rows, dtype=np.int32), keys(1), masking("token"))
        with pytest.raises(DataError, match="found -1"):
            mask(np.full((1, 8), -1), np.ones((1, 8), dtype=np.int32), keys(1), masking("token"))


def test_tokens_of_another_type_are_left_to_python(
    memory_source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, pairs, place = packed()
    source = source_of(tokens.astype(np.int64), memory_source)
    assert compiled_rows(source, pairs, place, keys(40), 64, SPECIAL, 3, masking("token")) is None


def test_arrays_of_another_kind_are_refused() -> None:
    assert native.compiled is not None
    tokens, segments = np.full((2, 8), 9), np.ones((2, 8), dtype=np.int32)
    rules = masking("token").for_compiled()

    def refused(message: str, *arguments: Any) -> None:
        with pytest.raises(ValueError, match=message):
            native.compiled.mask_rows(*arguments)

    refused("tokens: expected .* int64", tokens.astype(np.int32), segments, keys(2), rules, 8)
    refused("tokens: .* that is not", np.full((8, 2), 9).T, segments, keys(2), rules, 8)
    refused(r"tokens: .* \[any, any\], found int64 \[16\]", tokens.reshape(-1), segments, keys(2), rules, 8)
    refused(
        r"segment_ids: .* \[2, 8\], found int32 \[2, 7\]", tokens, segments[:, :7].copy(), keys(2), rules, 8
    )
    refused(r"row_keys: .* \[2\], found uint64 \[3\]", tokens, segments, keys(3), rules, 8)
    refused(
        "flags: expected .* uint8",
        tokens,
        segments,
        keys(2),
        {**rules, "flags": rules["flags"].astype(int)},
        8,
    )
    refused("flags: expected an array", tokens, segments, keys(2), {**rules, "flags": [1, 2]}, 8)
    refused("probability from 0 to 1", tokens, segments, keys(2), {**rules, "probability": float("nan")}, 8)
    refused("slots", tokens, segments, keys(2), rules, -1)
    found = Masked(*native.compiled.mask_rows(tokens, segments, keys(2), {**rules, "probability": 1.0}, 3))
    assert found.weights.shape == (2, 3) and found.weights.all(), "never more than the slots"
