"""Steps whose gradients are not finite: skipped and counted, and after too many in a row the run ends with a diagnosis."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.checkpoint.manifest import file_entry
from megatron_bio.cli import main
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.mesh import build_mesh
from megatron_bio.parallel.world import World, mesh_shape
from megatron_bio.training.nonfinite import NonFiniteError, diagnosis
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.pretrain import Run
from megatron_bio.training.state import Progress
from megatron_bio.training.step import train_step
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import config, make_data, records, tensors, train
from tests.distributed.training_case import Case, build, mesh_of, microbatches

BATCH = 8
DATA_PARALLEL = ParallelConfig()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skipped")
    make_data(folder, "bert")
    return folder


def poison(model: ModelParts, samples: list[int], seed: int) -> None:
    """Make the losses of rows with these global sample indices NaN."""
    bad = sample_keys(seed, torch.tensor(samples))

    def spoil(_: nn.Module, __: Any, fields: dict[str, Tensor], sums: Tensor) -> Tensor:
        return sums * float("nan") if torch.isin(fields["dropout_keys"], bad).any() else sums

    if model.parts[-1].stage.last:
        model.parts[-1].register_forward_hook(spoil, with_kwargs=True)


def train_with_bad_samples(run: PretrainConfig, layout: ParallelConfig, samples: list[int]) -> str:
    """Train; return the message that ended the run, empty if it came to its end."""
    run = replace(run, parallel=layout)
    shape = mesh_shape(layout, torch.distributed.get_world_size())
    rank = torch.distributed.get_rank()
    process = Run(run, World(rank, shape, build_mesh(shape, "cpu"), torch.device("cpu")))
    poison(process.model, samples, run.training.seed)
    try:
        process.train()
    except NonFiniteError as error:
        return str(error)
    return ""


def test_a_bad_step_is_skipped_counted_and_survives_a_resume(pool: Pool, folder: Path) -> None:
    third_step = [2 * BATCH + 3]
    through = config(folder, "bert", "through", stop_at_step=4)
    assert pool.run(train_with_bad_samples, 2, through, DATA_PARALLEL, third_step) == ["", ""]
    written = [record for record in records(folder / "through") if record["kind"] == "train"]
    assert [record["skipped_steps"] for record in written] == [0, 0, 1, 1]
    assert ["grad_norm" in record for record in written] == [True, True, False, True]
    assert ["loss" in record for record in written] == [True, True, False, True]
    info = read_info(resolve_checkpoint(folder / "through"))
    assert (info["step"], info["optimizer_steps"], info["skipped_in_a_row"]) == (4, 3, 0)

    pool.run(
        train_with_bad_samples,
        2,
        config(folder, "bert", "resumed", stop_at_step=3),
        DATA_PARALLEL,
        third_step,
    )
    stopped, before = tensors(folder / "resumed"), tensors(folder / "resumed", 2)
    assert [name for name in before if not torch.equal(before[name], stopped[name])] == []
    assert read_info(resolve_checkpoint(folder / "resumed"))["skipped_in_a_row"] == 1
    pool.run(train, 2, config(folder, "bert", "resumed", stop_at_step=4), 1)
    expected, resumed = tensors(folder / "through"), tensors(folder / "resumed")
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []


def test_too_many_in_a_row_end_the_run_with_a_diagnosis(pool: Pool, folder: Path) -> None:
    bad = [3 * BATCH + 1, 4 * BATCH + 5, 5 * BATCH + 2, 5 * BATCH + 6]
    run = config(folder, "bert", "ended", train_steps=9, max_skipped_steps=3, checkpoint_interval=1)
    tensor_parallel = ParallelConfig(tensor_parallel=2, zero=3)
    messages = pool.run(train_with_bad_samples, 4, run, tensor_parallel, bad)
    assert len(set(messages)) == 1
    for part in (
        "The gradients of 3 steps in a row (training.max_skipped_steps) were not finite, the last being step 6",
        "(not finite: masked_lm_loss, order_loss)",
        "nearest to the loss first: order_head.classifier.bias, order_head.classifier.weight, order_head.pooler.bias",
        "Global samples of step 6: 40 to 47; alone with a non-finite loss are 42, 46.",
        "The newest checkpoint is from before these steps",
        "Look at those samples",
    ):
        assert part in messages[0], messages[0]
    assert read_info(resolve_checkpoint(folder / "ended"))["step"] == 3
    # A larger limit steps over them.
    further = replace(run, training=replace(run.training, max_skipped_steps=4))
    assert pool.run(train_with_bad_samples, 4, further, tensor_parallel, bad) == [""] * 4
    info = read_info(resolve_checkpoint(folder / "ended"))
    assert (info["step"], info["optimizer_steps"]) == (9, 6)


def test_the_ranks_of_a_pipeline_end_alike(pool: Pool, folder: Path) -> None:
    run = config(folder, "bert", "pipeline", train_steps=3, max_skipped_steps=2)
    layout = ParallelConfig(pipeline_parallel=2)
    messages = pool.run(train_with_bad_samples, 2, run, layout, list(range(BATCH, 3 * BATCH)))
    assert messages[0] == messages[1]
    assert "the last being step 3" in messages[0]
    assert "not finite: masked_lm_loss, order_loss" in messages[0]
    # Parameters of both stages, those of the last first.
    assert "nearest to the loss first: order_head.classifier.bias" in messages[0]
    assert "Parameters with non-finite gradients: 38 of 38" in messages[0]


def test_fp16_counts_only_what_the_scale_does_not_explain(pool: Pool, folder: Path) -> None:
    run = config(
        folder, "bert", "half", train_steps=9, max_skipped_steps=2, precision="fp16", checkpoint_interval=1
    )
    run = replace(run, optimizer=OptimizerConfig(initial_loss_scale=2.0, loss_scale_hysteresis=1))
    every = list(range(9 * BATCH))
    message = pool.run(train_with_bad_samples, 1, run, DATA_PARALLEL, every)[0]
    assert "The gradients of 2 steps in a row" in message
    assert "the last being step 3" in message
    assert "or another training.precision than fp16" in message


def test_the_documented_way_to_look_at_a_sample(
    folder: Path, pool: Pool, capsys: pytest.CaptureFixture
) -> None:
    pool.run(train, 1, config(folder, "bert", "looked", stop_at_step=1), 1)
    text = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    megatron-bio (inspect runs/first .*)$", text, re.M)
    assert main(command.replace("runs/first", str(folder / "looked")).split()) == 0
    assert "row 42" in capsys.readouterr().out


def test_counting() -> None:
    progress = Progress()
    for made, explained in ((True, False), (False, True), (False, False), (False, True), (False, False)):
        progress.count(made, explained, samples=8, tokens=100)
    assert (progress.step, progress.samples, progress.tokens) == (5, 40, 500)
    assert (progress.optimizer_steps, progress.skipped_steps, progress.skipped_in_a_row) == (1, 4, 2)
    progress.count(True, False, samples=8, tokens=100)
    assert progress.skipped_in_a_row == 0


def test_a_diagnosis_of_finite_losses_and_of_a_pipeline() -> None:
    make: Callable[..., NonFiniteError] = lambda rows: diagnosis(  # noqa: E731
        step=7,
        skipped=2,
        losses={"lm_loss": 3.5},
        parameters=[f"p{i}" for i in range(12)],
        num_parameters=30,
        samples=range(48, 56),
        rows=rows,
        precision="fp32",
    )
    text = str(make([]))
    assert "Losses of step 7: lm_loss 3.5 (finite)" in text
    assert "12 of 30, nearest to the loss first: p0, p1, p2, p3, p4, p5, p6, p7 and 4 more" in text
    assert "the loss of each alone is finite" in text
    assert "training.precision" not in text
    assert "not known in a pipeline" in str(make(None))


def without_predictions(case: Case) -> dict[str, Any]:
    mesh = mesh_of(case)
    passes = build(case, mesh)
    model = passes.model
    optimizer = build_optimizer(model, OptimizerConfig())
    batches = microbatches(case, mesh, 0)
    for batch in batches:
        for name in model.weight_fields:
            batch[name].zero_()
    result = train_step(passes, optimizer, batches, mesh, lr=1e-3, clip_grad=1.0)
    finite = all(torch.isfinite(p.detach().to_local()).all() for p in model.parameters())
    return {"norm": result.gradient_norm, "made": result.made, "sums": result.sums.tolist(), "finite": finite}


@pytest.mark.parametrize("architecture", ["bert", "gpt"])
def test_a_step_without_predictions_is_no_nan(pool: Pool, architecture: str) -> None:
    result = pool.run(without_predictions, 2, Case(architecture, ParallelConfig(), 2, 0.1))[0]
    assert result == {"norm": 0.0, "made": True, "sums": [0.0] * len(result["sums"]), "finite": True}


def test_a_checkpoint_from_before_steps_could_be_skipped_still_loads(pool: Pool, folder: Path) -> None:
    pool.run(train, 1, config(folder, "bert", "now", stop_at_step=4), 1)
    pool.run(train, 1, config(folder, "bert", "then", stop_at_step=2), 1)
    checkpoint = resolve_checkpoint(folder / "then")
    info = read_info(checkpoint)
    del info["optimizer_steps"], info["skipped_in_a_row"], info["config"]["training"]["max_skipped_steps"]
    (checkpoint / "info.json").write_text(json.dumps(info))
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"]["info.json"] = file_entry(checkpoint / "info.json")
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    pool.run(train, 1, config(folder, "bert", "then", stop_at_step=4), 1)
    expected, continued = tensors(folder / "now"), tensors(folder / "then")
    assert [name for name in expected if not torch.equal(expected[name], continued[name])] == []
