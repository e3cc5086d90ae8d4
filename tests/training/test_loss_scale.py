"""fp16: the scale moves as documented, changes no bit of a gradient, and is the same after a resume."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.training.loss_scale import LossScale, build_loss_scale
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import config, make_data, records, tensors, train
from tests.distributed.training_case import Case, build, gathered, mesh_of, microbatches


def scale(**values: Any) -> LossScale:
    settings = {"initial_loss_scale": 16.0, "loss_scale_window": 3, "loss_scale_hysteresis": 2}
    return build_loss_scale("fp16", OptimizerConfig(**(settings | values)))


def moved(loss_scale: LossScale, steps: str) -> list[float]:
    """Return the scale after each step: + was made, - was not."""
    values = []
    for step in steps:
        loss_scale.update(step == "+")
        values.append(loss_scale.value)
    return values


def test_the_second_overflow_halves_and_a_window_of_good_steps_doubles() -> None:
    assert moved(scale(), "-+--") == [16, 16, 8, 4]
    assert moved(scale(), "+++++++") == [16, 16, 32, 32, 32, 64, 64]
    assert moved(scale(), "++-+++") == [16, 16, 16, 16, 16, 32]
    # Once doubled, the scale takes two overflows again.
    assert moved(scale(), "--+++--") == [16, 8, 8, 8, 16, 16, 8]


def test_an_overflow_is_explained_until_the_scale_is_1() -> None:
    small = scale(initial_loss_scale=2.0, loss_scale_hysteresis=1)
    assert [small.update(False) for _ in range(3)] == [True, False, False]
    assert small.value == 1.0
    assert not small.update(True)


def test_without_fp16_the_scale_is_1_for_good() -> None:
    fixed = build_loss_scale("bf16", OptimizerConfig())
    assert not fixed.update(False)
    assert moved(fixed, "-" * 4 + "+" * 2000)[-1] == 1.0


def test_state_continues_where_it_was() -> None:
    first, second = scale(), scale()
    moved(first, "-++")
    second.load(first.state())
    assert second == first
    assert moved(second, "+-") == moved(first, "+-") == [32, 32]


def steps(case: Case, loss_scale: float) -> dict[str, Any]:
    mesh = mesh_of(case)
    passes = build(case, mesh)
    optimizer = build_optimizer(passes.model, OptimizerConfig())
    norms = []
    for step in range(3):
        batches = microbatches(case, mesh, step)
        result = train_step(passes, optimizer, batches, mesh, lr=1e-3, clip_grad=1.0, loss_scale=loss_scale)
        norms.append(result.gradient_norm)
    return {"norms": norms, "weights": gathered(dict(passes.model.named_parameters()))}


@pytest.mark.parametrize(
    "case",
    [
        Case("bert", ParallelConfig(), 1, 0.1),
        pytest.param(Case("gpt", ParallelConfig(tensor_parallel=2, zero=3), 4), marks=pytest.mark.slow),
        Case("bert", ParallelConfig(pipeline_parallel=2), 2),
        pytest.param(
            Case("bert", ParallelConfig(pipeline_parallel=2, pipeline_schedule="zbv"), 2),
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_a_power_of_2_changes_no_bit(pool: Pool, case: Case) -> None:
    plain = pool.run(steps, case.ranks, case, 1.0)[0]
    scaled = pool.run(steps, case.ranks, case, 2.0**12)[0]
    assert scaled["norms"] == plain["norms"]
    assert [name for name, w in plain["weights"].items() if not torch.equal(w, scaled["weights"][name])] == []


@pytest.fixture(scope="module")
def folder(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and the log of a serial float32 run."""
    folder = tmp_path_factory.mktemp("precision")
    make_data(folder, "bert")
    pool.run(train, 1, half(folder, "serial", "fp32"), 1)
    return folder


def half(
    folder: Path, output: str, precision: str, initial: float = 2.0**10, **values: Any
) -> PretrainConfig:
    run = config(folder, "bert", output, precision=precision, **values)
    return replace(run, optimizer=replace(run.optimizer, initial_loss_scale=initial, loss_scale_window=2))


def values(folder: Path, name: str, kind: str = "train") -> list[float]:
    return [record[name] for record in records(folder) if record["kind"] == kind]


@pytest.mark.parametrize(
    ("ranks", "layout", "precision", "noise"),
    [
        pytest.param(4, ParallelConfig(tensor_parallel=2), "fp16", 2e-3, id="fp16-tp2-dp2"),
        pytest.param(2, ParallelConfig(pipeline_parallel=2), "bf16", 1.5e-2, id="bf16-pp2"),
        pytest.param(
            4, ParallelConfig(tensor_parallel=2), "bf16", 1.5e-2, id="bf16-tp2-dp2", marks=pytest.mark.slow
        ),
        pytest.param(
            2, ParallelConfig(pipeline_parallel=2), "fp16", 2e-3, id="fp16-pp2", marks=pytest.mark.slow
        ),
    ],
)
def test_parallel_runs_stay_near_the_serial_one(
    pool: Pool, folder: Path, ranks: int, layout: ParallelConfig, precision: str, noise: float
) -> None:
    output = f"{precision}-{ranks}"
    pool.run(train, ranks, half(folder, output, precision), layout)
    assert values(folder / output, "skipped_steps") == [0] * 6
    for name in ("loss", "grad_norm"):
        expected = values(folder / "serial", name)
        assert values(folder / output, name) == pytest.approx(expected, rel=noise * (10, 1)[name == "loss"])
        assert values(folder / output, name) != expected, "computed in float32"


def test_overflows_skip_steps_and_a_resumed_run_has_the_same_scale(pool: Pool, folder: Path) -> None:
    pool.run(train, 2, half(folder, "through", "fp16", 2.0**30), 1)
    pool.run(train, 2, half(folder, "resumed", "fp16", 2.0**30, stop_at_step=3), 1)
    stopped = read_info(resolve_checkpoint(folder / "resumed"))
    assert (stopped["step"], stopped["optimizer_steps"]) == (3, 0)
    assert stopped["loss_scale"] == {"value": 2.0**28, "good_steps": 0, "overflows_left": 0}
    pool.run(train, 2, half(folder, "resumed", "fp16", 2.0**30), 1)
    assert records(folder / "resumed") == records(folder / "through")
    assert values(folder / "through", "loss_scale")[:3] == [2.0**30, 2.0**29, 2.0**28]
    expected, resumed = tensors(folder / "through"), tensors(folder / "resumed")
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []
