"""Which samples a step reads depends neither on the number of ranks nor on when the run was started."""

import numpy as np
import pytest

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.data.order import (
    EMPTY_ROW,
    GlobalOrder,
    Permutation,
    permuted,
    rows_of_evaluation,
    rows_of_step,
)
from megatron_bio.data.randomness import Purpose
from megatron_bio.native import compiled

GOLDEN_ORDER_OF_TEN = [7, 5, 4, 3, 1, 8, 2, 0, 9, 6]
GOLDEN_FAR_IMAGES = [338288671948, 277091169509]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10, 16, 17, 99, 100, 101, 1023, 4097])
def test_permutation_reaches_every_number_once(size: int) -> None:
    assert sorted(Permutation(size, 3, 1).all().tolist()) == list(range(size))


def test_permutation_at_any_index_equals_the_whole() -> None:
    permutation = Permutation(1000, 3, 1)
    indices = np.array([[999, 0], [17, 17]])
    assert permutation(indices).tolist() == permutation.all()[indices].tolist()


def test_whole_permutation_is_made_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Permutation(1000, 3, 1).all()
    monkeypatch.setattr("megatron_bio.data.order.compiled", None)
    monkeypatch.setattr("megatron_bio.data.order._BLOCK", 64)
    assert Permutation(1000, 3, 1).all().tolist() == whole.tolist()


def test_permutation_is_stable_for_ever() -> None:
    assert Permutation(10, 1234, 0).all().tolist() == GOLDEN_ORDER_OF_TEN
    assert Permutation(10, 1234, 1).all().tolist() != GOLDEN_ORDER_OF_TEN
    assert Permutation(10**12, 1234, 5)(np.array([0, 10**12 - 1])).tolist() == GOLDEN_FAR_IMAGES


@pytest.mark.parametrize("size", [2, 3, 5, 8, 30])
def test_every_position_is_equally_probable_for_every_sample(size: int) -> None:
    epochs = 6000
    images = permuted(
        np.tile(np.arange(size), (epochs, 1)), size, 1, Purpose.SAMPLE_ORDER, np.arange(epochs)[:, None]
    )
    table = np.stack([np.bincount(images[:, index], minlength=size) for index in range(size)]) / epochs
    assert np.abs(table - 1 / size).max() < 5 * np.sqrt(1 / size / epochs)


def test_all_orders_of_three_occur_equally_often() -> None:
    epochs = np.arange(3000)[:, None]
    images = permuted(np.tile(np.arange(3), (3000, 1)), 3, 1, Purpose.SAMPLE_ORDER, epochs)
    orders = list(map(tuple, images.tolist()))
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6 and max(counts) - min(counts) < 150


def test_neighbours_do_not_stay_neighbours() -> None:
    image = Permutation(10_000, 1, 0).all()
    assert np.abs(np.diff(image)).mean() == pytest.approx(10_000 / 3, rel=0.05)
    assert abs(np.corrcoef(image, np.arange(10_000))[0, 1]) < 0.03


def test_seed_epoch_and_purpose_change_the_order() -> None:
    orders = {
        tuple(Permutation(50, seed, epoch, purpose).all().tolist())
        for seed in (1, 2)
        for epoch in (0, 1)
        for purpose in (Purpose.SAMPLE_ORDER, Purpose.DOCUMENT_ORDER)
    }
    assert len(orders) == 8


def test_global_order_holds_every_sample_once_per_epoch() -> None:
    epochs, samples = GlobalOrder(17, 5).locate(np.arange(3 * 17))
    assert epochs.tolist() == [0] * 17 + [1] * 17 + [2] * 17
    for epoch in range(3):
        assert sorted(samples[epochs == epoch].tolist()) == list(range(17))
    assert samples[:17].tolist() != samples[17:34].tolist()


def test_a_batch_across_two_epochs_equals_its_single_samples() -> None:
    order = GlobalOrder(17, 5)
    together = order.locate(np.arange(10, 25))
    alone = [order.locate(np.array([g])) for g in range(10, 25)]
    assert together[0].tolist() == [epoch.item() for epoch, _ in alone]
    assert together[1].tolist() == [sample.item() for _, sample in alone]


LAYOUTS = [(size, micro) for size in (1, 2, 3, 4, 6, 12) for micro in (1, 2, 4) if 24 % (size * micro) == 0]


@pytest.mark.parametrize(("size", "micro"), LAYOUTS)
def test_ranks_together_read_the_step_whatever_their_number(size: int, micro: int) -> None:
    for step in (0, 1, 7):
        ranks = [rows_of_step(step, 24, size, rank, micro) for rank in range(size)]
        assert {rank.shape for rank in ranks} == {(24 // size // micro, micro)}
        in_order = np.stack(ranks, axis=1).reshape(-1)
        assert in_order.tolist() == list(range(24 * step, 24 * step + 24))


def test_steps_of_an_interrupted_run_continue_those_before() -> None:
    straight = [rows_of_step(step, 12, 2, 1, 3).tolist() for step in range(6)]
    before = [rows_of_step(step, 12, 2, 1, 3).tolist() for step in range(4)]
    after = [rows_of_step(step, 12, 2, 1, 3).tolist() for step in range(4, 6)]
    assert straight == before + after
    resumed_elsewhere = {g for rank in range(4) for g in rows_of_step(4, 12, 4, rank, 3).ravel().tolist()}
    assert resumed_elsewhere == set(range(48, 60))


def test_batch_that_ranks_cannot_share_is_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigurationError, match=r"global_batch_size 24 is no multiple of .* 5 x 2 .* = 10"):
        rows_of_step(0, 24, 2, 0, 5)


@pytest.mark.parametrize("samples", [0, 1, 5, 12, 13])
def test_evaluation_reads_every_sample_once_with_equal_counts(samples: int) -> None:
    ranks = [rows_of_evaluation(samples, 3, rank, 2) for rank in range(3)]
    assert len({rank.shape for rank in ranks}) == 1
    in_order = np.stack(ranks, axis=1).reshape(-1).tolist()
    assert in_order[:samples] == list(range(samples))
    assert set(in_order[samples:]) <= {EMPTY_ROW} and len(in_order) - samples < 6


@pytest.mark.skipif(compiled is None, reason="the compiled parts were not built")
@pytest.mark.parametrize("size", [1, 2, 3, 17, 1000, 2**31 + 11, 10**12, 2**62])
def test_compiled_order_is_the_defined_one(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    indices = np.unique(np.array([0, 1, size // 3, size // 2, size - 1]) % size)
    epochs = np.arange(len(indices)) * 3
    fast = permuted(indices, size, 2**63 - 1, Purpose.SAMPLE_ORDER, epochs)
    monkeypatch.setattr("megatron_bio.data.order.compiled", None)
    assert permuted(indices, size, 2**63 - 1, Purpose.SAMPLE_ORDER, epochs).tolist() == fast.tolist()


@pytest.mark.skipif(compiled is None, reason="the compiled parts were not built")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 17, 63, 1000, 4097])
def test_compiled_whole_orders_and_places_are_the_defined_ones(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.array([[0, size - 1, size], [5 * size + size // 2, 0, 2**62 + 11]])

    def found() -> list[list[int]]:
        arrays = [Permutation(size, 9, epoch).all() for epoch in range(3)]
        located = [*GlobalOrder(size, 9).locate(samples), *GlobalOrder(size, 9).locate(samples.T)]
        return [array.tolist() for array in [*arrays, *located]]

    fast = found()
    monkeypatch.setattr("megatron_bio.data.order.compiled", None)
    assert found() == fast


@pytest.mark.skipif(compiled is None, reason="the compiled parts were not built")
def test_compiled_order_refuses_what_is_outside() -> None:
    zero = np.zeros(1, dtype=np.int64)
    with pytest.raises(IndexError, match="global sample -1: expected 0 or more"):
        compiled.located(zero - 1, 5, 1, 4)
    for wrong in (-1, 5):
        with pytest.raises(IndexError, match=r"outside 0 \.\.\. 4"):
            compiled.permuted(zero + wrong, 5, 1, 4, zero)
    with pytest.raises(ValueError, match="expected 1 to 2\\^62"):
        compiled.permutation(0, 1, 4, 0)
    with pytest.raises(ValueError, match="equally long"):
        compiled.permuted(zero, 5, 1, 4, np.zeros(2, dtype=np.int64))
