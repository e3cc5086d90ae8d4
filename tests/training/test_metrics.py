import json
from pathlib import Path

import pytest
import torch

from megatron_bio.training.metrics import LOG, RunLog, averages
from megatron_bio.training.step import StepResult

BERT = ("masked_lm_loss", "order_loss", "masked_lm_correct", "order_correct")


def test_each_sum_is_divided_by_its_own_predictions() -> None:
    result = StepResult(torch.tensor([20.0, 3.0, 5.0, 4.0]), torch.tensor([10.0, 6.0]), 0.0)
    assert averages(BERT, 2, result) == pytest.approx(
        {
            "masked_lm_loss": 2.0,
            "order_loss": 0.5,
            "masked_lm_accuracy": 0.5,
            "order_accuracy": 4 / 6,
            "loss": 2.5,
        }
    )


def test_a_loss_without_predictions_is_left_out() -> None:
    result = StepResult(torch.tensor([20.0, 0.0, 5.0, 0.0]), torch.tensor([10.0, 0.0]), 0.0)
    assert set(averages(BERT, 2, result)) == {"masked_lm_loss", "masked_lm_accuracy", "loss"}


def test_resuming_forgets_what_it_will_write_again_and_a_line_cut_short(tmp_path: Path) -> None:
    log = RunLog(tmp_path, True, 10, 0)
    for step in (1, 2, 3):
        log.write("train", step, {"loss": float(step)})
    log.close()
    with (tmp_path / LOG).open("a") as file:
        file.write('{"kind": "train", "st')
    log = RunLog(tmp_path, True, 10, 2)
    log.write("train", 3, {"loss": 30.0})
    log.close()
    records = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(record["step"], record["loss"]) for record in records] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run", False, 10, 0)
    log.write("train", 1, {"loss": 1.0})
    log.close()
    assert not (tmp_path / "run").exists()
