import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from megatron_bio.config.costs import training_flops_per_row
from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import TrainingConfig
from megatron_bio.training.boards import TensorBoard, WeightsAndBiases, require_wandb
from megatron_bio.training.metrics import Window, averages, peak_memory
from megatron_bio.training.run_log import LOG, RunLog
from megatron_bio.training.step import StepResult
from megatron_bio.training.utilisation import build_utilisation
from tests.distributed.pool import Pool

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


def test_no_prediction_at_all_gives_no_loss() -> None:
    result = StepResult(torch.zeros(4), torch.zeros(2), 0.0)
    assert averages(BERT, 2, result) == {}


def window_of_three_steps() -> dict[str, float]:
    def slow(rank: int) -> Iterator[int]:
        for item in range(3):
            time.sleep(0.05 * rank)
            yield item

    window = Window()
    for item in window.waiting_for(slow(torch.distributed.get_rank())):
        nan = item == 1
        sums = torch.tensor([float("nan") if nan else 4.0 + item, 2.0])
        window.add(StepResult(sums, torch.tensor([2.0]), float(item), made=not nan), 100)
    with window.paused():
        time.sleep(0.1)
    return window.values(("lm_loss", "lm_correct"), 1, 0.5, torch.device("cpu"))


def test_a_window_means_good_steps_and_the_slowest_rank(pool: Pool) -> None:
    first, second = pool.run(window_of_three_steps, 2)
    assert first["loss"] == first["lm_loss"] == pytest.approx((4.0 + 6.0) / 4.0)
    assert first["lm_accuracy"] == pytest.approx(4.0 / 4.0)
    assert (first["lr"], first["grad_norm"]) == (0.5, 2.0)
    # Rank 0 never waits and rank 1 hardly does anything else; both report rank 1's.
    assert first["data_wait"] == second["data_wait"] > 0.5
    assert first["peak_memory_gib"] == second["peak_memory_gib"] > 0.05


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the kernel's own count is in /proc on Linux"
)
def test_the_memory_of_a_process_is_its_peak_in_bytes() -> None:
    status = Path("/proc/self/status").read_text()
    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_memory(torch.device("cpu")) == pytest.approx(1024 * kilobytes, rel=0.1)


def test_what_is_not_finite_is_null_in_the_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path, True, 10, 0, [TensorBoard(tmp_path, 0)])
    log.write("validation", 1, {"loss": float("nan")})
    log.close()
    assert json.loads((tmp_path / LOG).read_text(), parse_constant=pytest.fail)["loss"] is None
    assert list((tmp_path / "tensorboard").iterdir())


def bert(**training: object) -> PretrainConfig:
    return PretrainConfig(
        model=ModelConfig(
            num_layers=2, hidden_size=64, num_attention_heads=4, vocab_size=1000, max_position_embeddings=128
        ),
        data=DataConfig(prefixes=["t"], tokenizer="v", sequence_length=128),
        training=TrainingConfig(output="run", train_steps=9, **training),
    )


def test_utilisation_is_the_executed_operations_of_real_tokens_over_the_peak() -> None:
    config = bert(peak_tflops=2.0)
    utilisation = build_utilisation(config, torch.device("cpu"), 4)
    # 15 % of 128 positions are 19.2, a budget of 24 slots; forward and backward by hand:
    matrices = 2 * 128 * (4 * 64 * 64 + 2 * 64 * 256) + 4 * 128 * 128 * 64
    head = 24 * (2 * 64 * 1024 + 2 * 64 * 64)
    row = 3 * (2 * matrices + head)
    assert row == training_flops_per_row(config.model, 128, 24)
    assert utilisation.of(1e6) == {"mfu": pytest.approx(1e6 * row / 128 / (4 * 2e12))}
    for part in (
        "MFU = real tokens/s",
        "(4 x 2 TFLOP/s, training.peak_tflops)",
        "P = 24",
        f"{row:.4g} / 128",
    ):
        assert part in utilisation.explanation
    gpt = replace(config, model=replace(config.model, architecture="gpt"))
    assert "P = 128, A = 16384" in build_utilisation(gpt, torch.device("cpu"), 4).explanation


@pytest.mark.parametrize(
    ("architecture", "resets", "pairs"),
    [("bert", False, 0), ("gpt", False, 128 * 129 // 2), ("gpt", True, 0)],
)
def test_what_variable_length_attention_may_skip_is_not_counted(
    architecture: str, resets: bool, pairs: int
) -> None:
    config = bert(peak_tflops=2.0)
    data = replace(config.data, reset_at_document_end=resets)
    config = replace(config, model=replace(config.model, architecture=architecture), data=data)
    whole, short = (
        build_utilisation(config, torch.device("cpu"), 1, variable_length=variable_length)
        for variable_length in (False, True)
    )
    skipped = 3 * 2 * 4 * 64 * (128 * 128 - pairs)
    assert whole.flops_per_token - short.flops_per_token == pytest.approx(skipped / 128)
    assert f"A = {pairs}" in short.explanation
    assert ("not counted" in short.explanation) == (pairs == 0)


def test_the_peak_of_a_known_gpu_is_that_of_its_data_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-80GB")
    gpu = torch.device("cuda")
    assert build_utilisation(bert(), gpu, 8).peak_flops == pytest.approx(8 * 312e12)
    assert (
        "(8 x 312 TFLOP/s, NVIDIA A100-SXM4-80GB, dense bf16)"
        in build_utilisation(bert(), gpu, 8).explanation
    )
    single = build_utilisation(bert(precision="fp32"), gpu, 1)
    assert single.peak_flops == pytest.approx(19.5e12)
    assert build_utilisation(bert(peak_tflops=100.0), gpu, 1).peak_flops == pytest.approx(1e14)


def test_an_unknown_peak_is_said_once_and_nothing_is_reported() -> None:
    utilisation = build_utilisation(bert(), torch.device("cpu"), 1)
    assert utilisation.of(1e6) == {}
    assert utilisation.explanation == (
        "MFU is not reported: the bf16 peak of a CPU is not known; training.peak_tflops gives it."
    )


FAKE_WANDB = """
import json
class Run:
    def __init__(self, settings):
        self.calls = [["init", settings]]
    def define_metric(self, name, step_metric):
        self.calls.append(["define", name, step_metric])
    def log(self, values):
        self.calls.append(["log", values])
    def finish(self):
        with open("calls.json", "w") as file:
            json.dump(self.calls, file)
def init(**settings):
    return Run(settings)
"""


def test_weights_and_biases_gets_the_values_and_a_continued_run_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb.py").write_text(FAKE_WANDB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    require_wandb("bio")
    output = tmp_path / "run"
    output.mkdir()
    names = []
    for step in (1, 2):
        log = RunLog(output, True, 10, step - 1, [WeightsAndBiases("bio", output, {"a": 1})])
        log.write("train", step, {"loss": float(step)})
        log.close()
        calls = json.loads(Path("calls.json").read_text())
        names.append(calls[0][1]["id"])
        assert calls[0][1]["project"] == "bio"
        assert calls[0][1]["resume"] == "allow"
        assert calls[1:] == [
            ["define", "*", "step"],
            ["log", {"step": step, "train/loss": float(step)}],
        ]
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert names[0] == names[1]


def test_a_project_without_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    require_wandb(None)
    with pytest.raises(
        ConfigurationError, match=r"wandb_project bio: .* pip install 'megatron-bio\[wandb\]'"
    ):
        require_wandb("bio")
