"""Blends: exact numbers in every block, each row of a corpus once per epoch of its own, the same at any rank and start."""

from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio import native
from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.data.blend import BLOCK, Blend, BlendedDataset, rows_of_block, seed_of_corpus
from megatron_bio.data.build import build_datasets
from megatron_bio.data.dataset import BertDataset, GptDataset
from megatron_bio.data.errors import DataError
from megatron_bio.data.order import GlobalOrder, rows_of_evaluation, rows_of_step
from megatron_bio.tokens.indexed import IndexedWriter
from tests.data.test_build import byte_level, sentences, whole, wordpiece, write

GOLDEN = ([1, 1, 1, 1, 0, 1, 1], [1364, 1888, 1231, 7348, 1988, 14898, 98765780])


@pytest.mark.parametrize(
    ("weights", "rows"),
    [
        ([1.0], [10_000]),
        ([0.5, 0.5], [5_000, 5_000]),
        ([1.0, 1.0, 1.0], [3_334, 3_333, 3_333]),
        ([1.0, 2.0, 0.0], [3_333, 6_667, 0]),
        ([1e-300, 1e300], [1, 9_999]),
        ([1.7e308, 1.7e308], [5_000, 5_000]),
        ([5e-324, 5e-324], [5_000, 5_000]),
        ([1e-9] * 3 + [1.0], [1, 1, 1, 9_997]),
        ([1e-9] * 3 + [1.0, 1.0], [1, 1, 1, 4_998, 4_999]),
    ],
)
def test_rows_of_a_block(weights: list[float], rows: list[int]) -> None:
    assert rows_of_block(weights).tolist() == rows


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.just(0.0), st.floats(min_value=0, allow_nan=False, allow_infinity=False)),
        min_size=1,
        max_size=30,
    )
)
def test_a_block_is_full_and_weights_hold_within_one_row(weights: list[float]) -> None:
    if not any(weights):
        return
    rows = rows_of_block(weights)
    assert rows.sum() == BLOCK
    small = 0
    for weight, count in zip(weights, rows.tolist(), strict=True):
        quota = Fraction(weight) * BLOCK / sum(map(Fraction, weights))
        assert (count > 0) == (weight > 0)
        small += 0 < quota < 1
        assert abs(count - quota) < 1 or quota - count <= small + 30


def test_more_corpora_than_rows_are_refused() -> None:
    assert rows_of_block([1.0] * BLOCK).tolist() == [1] * BLOCK
    with pytest.raises(DataError, match="at most 10000 corpora, found 10001"):
        rows_of_block([1.0] * (BLOCK + 1))


@pytest.mark.parametrize("compiled", [True, False])
def test_several_blocks_enumerated(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the definition in plain words, from the permutation of each block alone."""
    if not compiled:
        monkeypatch.setattr(native, "compiled", None)
        monkeypatch.setattr("megatron_bio.data.order.compiled", None)
    rows = rows_of_block([1.0, 2.0, 7.0])
    blend = Blend(tuple(rows.tolist()), 5)
    corpora, indices = blend.locate(np.arange(4 * BLOCK))
    for block in range(4):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        assert np.bincount(corpora[part]).tolist() == [1_000, 2_000, 7_000]
        for corpus, count in enumerate([1_000, 2_000, 7_000]):
            own = indices[part][corpora[part] == corpus]
            assert sorted(own.tolist()) == list(range(block * count, (block + 1) * count))
    assert not np.array_equal(corpora[:BLOCK], corpora[BLOCK : 2 * BLOCK])
    run = np.convolve(corpora[:BLOCK] == 2, np.ones(100) / 100, "valid")
    assert run.min() > 0.45 and run.max() < 0.95, "mixed at every moment, not in turns"


def test_golden_places() -> None:
    """A change here changes every run that is resumed."""
    corpora, indices = Blend((2_000, 8_000), 1234).locate(np.array([0, 1, 2, 3, 9_999, 10_000, 123_456_789]))
    assert (corpora.tolist(), indices.tolist()) == GOLDEN


def test_any_index_and_shape_alone() -> None:
    blend = Blend((3_000, 6_999, 1), 9)
    far = 10**13 + np.arange(60).reshape(5, 12)
    corpora, indices = blend.locate(far)
    for row, column in [(0, 0), (4, 11), (2, 7)]:
        one = blend.locate(far[row, column])
        assert (int(one[0]), int(one[1])) == (corpora[row, column], indices[row, column])


@pytest.mark.parametrize("total", [0, 1, 9_999, 10_000, 25_001])
def test_rows_until(total: int) -> None:
    blend = Blend((3_000, 6_999, 1), 9)
    counted = np.bincount(blend.locate(np.arange(total))[0], minlength=3)
    assert blend.rows_until(total).tolist() == counted.tolist()


def config(prefixes: list[str], **changes: object) -> DataConfig:
    values = {"tokenizer": "unused", "sequence_length": 32, "split": (0.8, 0.2, 0.0), **changes}
    return DataConfig(prefixes=prefixes, **values)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("two")
    return [
        write(folder / "a", sentences(80, 1), wordpiece(), "sentences"),
        write(folder / "b", sentences(300, 2), wordpiece(), "sentences"),
    ]


def blended(prefixes: list[str], **changes: object) -> tuple[BlendedDataset, BlendedDataset, dict]:
    train, validation, report = build_datasets(config(prefixes, **changes), "bert", wordpiece())
    assert isinstance(train, BlendedDataset) and isinstance(validation, BlendedDataset)
    return train, validation, report


def test_each_row_of_each_corpus_comes_once_per_its_epoch(two: list[str]) -> None:
    train, _, _ = blended(two, weights=[3.0, 1.0])
    corpora, indices = train.blend.locate(np.arange(3 * BLOCK))
    for number, corpus in enumerate(train.corpora):
        own = np.sort(indices[corpora == number])
        epochs, rows = GlobalOrder(len(corpus), seed_of_corpus(1234, number)).locate(own)
        full = len(own) // len(corpus)
        assert full > 10
        for epoch in range(full):
            assert sorted(rows[epochs == epoch].tolist()) == list(range(len(corpus)))


def test_rows_are_those_of_the_corpora_under_the_global_index(two: list[str]) -> None:
    train, _, _ = blended(two, weights=[1.0, 1.0])
    numbers = np.array([5, 19_998, 0, 7, 7, 123_456])
    batch = train.batch(numbers)
    assert batch.sample_ids.tolist() == numbers.tolist()
    corpora, indices = train.blend.locate(numbers)
    for row, (corpus, index) in enumerate(zip(corpora.tolist(), indices.tolist(), strict=True)):
        one = train.corpora[corpus].batch(np.array([index]))
        for field in fields(one):
            if field.name != "sample_ids":
                assert np.array_equal(getattr(batch, field.name)[row], getattr(one, field.name)[0])
        documents = train.corpora[corpus].documents(np.array([index]))[0]
        assert train.documents(numbers)[row] == [document + corpus * 80 for document in documents]
    assert len(train.batch(np.empty(0, dtype=np.int64))) == 0


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_ranks_and_restarts_change_nothing(two: list[str], ranks: int) -> None:
    train, _, _ = blended(two, weights=[1.0, 4.0])
    whole_step = train.batch(rows_of_step(624, 16, 1, 0, 16)[0])  # the block ends inside of 16 x 625
    again, _, _ = blended(two, weights=[1.0, 4.0])
    micro = 16 // ranks
    parts = [again.batch(rows_of_step(624, 16, ranks, rank, micro)[0]) for rank in range(ranks)]
    for field in fields(whole_step):
        joined = np.concatenate([getattr(part, field.name) for part in parts])
        assert np.array_equal(joined, getattr(whole_step, field.name))


def test_validation_is_corpus_after_corpus(two: list[str]) -> None:
    _, validation, report = blended(two, weights=[1.0, 4.0])
    sizes = [report["validation"][prefix]["rows"] for prefix in two]
    assert len(validation) == sum(sizes) and min(sizes) > 1
    numbers = np.concatenate([rows_of_evaluation(len(validation), 2, rank, 4) for rank in (0, 1)])
    seen = []
    for microbatch in numbers:
        batch = validation.evaluation_batch(microbatch)
        assert (batch.segment_ids.any(axis=1) == (microbatch >= 0)).all()
        assert batch.sample_ids.tolist() == microbatch.tolist()
        seen += microbatch[microbatch >= 0].tolist()
    assert sorted(seen) == list(range(sum(sizes)))
    border = np.array([sizes[0] - 1, sizes[0], -1])
    batch = validation.evaluation_batch(border)
    for row, (corpus, index) in enumerate([(0, sizes[0] - 1), (1, 0)]):
        alone = validation.corpora[corpus].evaluation_batch(np.array([index]))
        assert np.array_equal(batch.tokens[row], alone.tokens[0])
    assert validation.evaluation_documents(border[1:2])[0][0] >= 80


def test_a_corpus_has_the_same_documents_and_samples_in_every_blend(two: list[str]) -> None:
    train, _, report = blended(two, weights=[1.0, 4.0])
    alone, _, own = build_datasets(config(two[1:]), "bert", wordpiece())
    assert report["train"][two[1]] == own["train"]
    assert own["index_cache"].count("read from") == 2, "and the caches serve both"
    assert isinstance(alone, BertDataset)
    other, order = train.corpora[1].batch(np.arange(len(alone))), alone.batch(np.arange(len(alone)))
    assert not np.array_equal(other.tokens, order.tokens), "but not the same order and masks"


def test_the_report_of_a_blend(two: list[str]) -> None:
    train, _, report = blended(two, weights=[1.0, 4.0])
    assert report["blend"] == {
        two[0]: {"weight": 1.0, "rows_of_each_10000": 2_000},
        two[1]: {"weight": 4.0, "rows_of_each_10000": 8_000},
    }
    assert sum(report["documents"].values()) == 380
    epochs = train.epochs_until(20_000)
    assert epochs[two[0]] == 4_000 / report["train"][two[0]]["rows"]
    assert f"{two[0]} 4,000 rows (20.00%)" in train.describe(20_000)


def test_weight_zero_leaves_a_corpus_out(two: list[str]) -> None:
    train, validation, report = blended(two, weights=[0.0, 2.0])
    assert train.names == validation.names == (two[1],)
    assert set(report["train"]) == {two[1]} and set(report["prefixes"]) == set(two)
    assert train.batch(np.arange(5)).tokens.shape == (5, 32)


def test_weights_and_order_change_the_fingerprint_or_the_options(two: list[str]) -> None:
    prints = {
        blended(two, weights=[1.0, 4.0])[2]["fingerprint"],
        blended(two[::-1], weights=[1.0, 4.0])[2]["fingerprint"],
        build_datasets(config(two), "bert", wordpiece())[2]["fingerprint"],
    }
    assert len(prints) == 3


def test_corpora_of_one_size_are_not_read_in_step(tmp_path: Path) -> None:
    prefixes = [write(tmp_path / name, sentences(60, 1), wordpiece(), "sentences") for name in "ab"]
    train, _, _ = blended(prefixes, weights=[1.0, 1.0])
    one, other = (corpus.batch(np.arange(len(corpus))).tokens for corpus in train.corpora)
    assert one.shape == other.shape and not np.array_equal(one, other)


def test_gpt_is_blended_too(tmp_path: Path) -> None:
    prefixes = [
        write(tmp_path / name, whole(count, count), byte_level(), "documents")
        for name, count in (("a", 40), ("b", 200))
    ]
    train, validation, _ = build_datasets(config(prefixes, weights=[1.0, 1.0]), "gpt", byte_level())
    assert isinstance(train, BlendedDataset) and validation is not None
    assert all(isinstance(corpus, GptDataset) for corpus in train.corpora)
    numbers = np.arange(9_990, 10_010)
    batch = train.batch(numbers)
    assert batch.sample_ids.tolist() == numbers.tolist()
    for row, number in enumerate(numbers):
        assert np.array_equal(train.batch(np.array([number])).tokens[0], batch.tokens[row])
    assert validation.evaluation_batch(np.array([0, len(validation) - 1, -1])).segment_ids[2].max() == 0


def test_token_types_may_differ_in_a_blend_only(tmp_path: Path) -> None:
    tokenizer = wordpiece()
    one = write(tmp_path / "a", sentences(60), tokenizer, "sentences")
    with IndexedWriter(tmp_path / "b", 70_000) as writer:
        for document in sentences(60, 3):
            for sentence in document:
                writer.add_sequence(np.array(sentence))
            writer.end_document()
    prefixes = [one, str(tmp_path / "b")]
    train, _, _ = build_datasets(config(prefixes, weights=[1.0, 1.0]), "bert", tokenizer)
    assert train.batch(np.arange(20)).tokens.max() < tokenizer.vocab_size
    with pytest.raises(DataError, match="stores tokens as"):
        build_datasets(config(prefixes), "bert", tokenizer)


def test_a_corpus_without_text_is_refused_by_name(tmp_path: Path) -> None:
    full = write(tmp_path / "full", sentences(60), wordpiece(), "sentences")
    empty = write(tmp_path / "empty", [[]] * 8, wordpiece(), "sentences")
    with pytest.raises(DataError, match=r"with 0 tokens, for train of .*empty; one sample"):
        build_datasets(config([full, empty], weights=[1.0, 0.001]), "bert", wordpiece())
    build_datasets(config([full, empty], weights=[1.0, 0.0]), "bert", wordpiece())
    single = write(tmp_path / "single", sentences(1), wordpiece(), "sentences")
    with pytest.raises(DataError, match=r"2 parts .* but .*single holds 1 document;"):
        build_datasets(config([full, single], weights=[1.0, 1.0]), "bert", wordpiece())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], r"data\.weights: expected one number for each of the 2 data\.prefixes, found 0"),
        ([1.0], "found 1"),
        ([1.0, 1.0, 1.0], "found 3"),
        ([1.0, -0.1], r"data\.weights: expected numbers of 0 or more, found -0\.1 for b"),
        ([float("nan"), 1.0], "found nan for a"),
        ([1.0, float("inf")], "found inf for b"),
        ([0.0, 0.0], r"data\.weights: all are 0"),
    ],
)
def test_impossible_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(["a", "b"], weights=weights)
