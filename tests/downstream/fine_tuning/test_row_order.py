from collections import Counter

from megatron_bio.downstream.fine_tuning.row_order import RowOrder, label_counts, oversampled
from megatron_bio.downstream.tasks.form import LOSS_IGNORES

LENGTHS = [(7 * number) % 40 + 1 for number in range(205)]


def order(seed: int = 1) -> RowOrder:
    return RowOrder(range(205), LENGTHS, 8, seed)


def test_every_row_once_an_epoch_and_epochs_differ() -> None:
    first, second = order().epoch(0), order().epoch(1)
    assert sorted(first) == sorted(second) == list(range(205))
    assert first != second
    assert first == order().epoch(0) != order(seed=2).epoch(0)


def test_passes_go_through_the_epochs() -> None:
    rows = order()
    assert [list(rows), list(rows)] == [order().epoch(0), order().epoch(1)]


def test_rows_of_a_batch_are_of_about_one_length() -> None:
    rows = order().epoch(0)
    batches = [rows[start : start + 8] for start in range(0, 200, 8)]
    spread = [max(LENGTHS[row] for row in batch) - min(LENGTHS[row] for row in batch) for batch in batches]
    assert sum(spread) / len(spread) < 4


def test_oversampling_evens_out_labels_and_leaves_nothing_out() -> None:
    features = [{"labels": label} for label in [0] * 10 + [1] * 3 + [2] * 7]
    rows = oversampled(features, "sequence", outside=0)
    assert set(rows) == set(range(20))
    assert Counter(features[row]["labels"] for row in rows) == {0: 10, 1: 10, 2: 10}
    sentences = [{"labels": [LOSS_IGNORES, 0, 0]}] * 5 + [{"labels": [0, 1, LOSS_IGNORES]}]
    assert Counter(row == 5 for row in oversampled(sentences, "tokens", outside=0)) == {False: 5, True: 5}
    assert oversampled([{"start_positions": 1}] * 3, "spans", outside=-1) == [0, 1, 2]


def test_label_counts() -> None:
    assert label_counts([{"labels": [0, LOSS_IGNORES, 2]}, {"labels": [0]}]) == {0: 2, 2: 1}
