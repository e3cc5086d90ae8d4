"""Profiles, compiled blocks and deterministic operations: options that change how a run computes, not what."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.config.command_line import parse_options
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.parser import Program
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.choice import OPERATIONS
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.compilation import compile_blocks
from megatron_bio.training.determinism import deterministic_operations
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import evaluate, train_step
from tests.distributed.batches import LENGTH
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import config, make_data, records, tensors, train
from tests.distributed.training_case import CPU, Case, fill, mesh_of, microbatches
from tests.kernels.varlen_on_cpu import varlen_on_cpu

KERNELS = frozenset(OPERATIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("execution")
    make_data(folder, "bert")
    return folder


def test_chosen_steps_are_profiled(pool: Pool, folder: Path) -> None:
    pool.run(train, 2, config(folder, "bert", "first", train_steps=4, profile_steps=(2, 3)), 1)
    assert sorted(path.name for path in (folder / "first/profile").iterdir()) == [
        "top-rank0.txt",
        "trace-rank0.json",
    ]
    trace = json.loads((folder / "first/profile/trace-rank0.json").read_text())
    names = [event.get("name", "") for event in trace["traceEvents"]]
    assert "aten::addmm" in names
    assert sum(name.startswith("Optimizer.step") for name in names) == 2
    assert "Self CPU" in (folder / "first/profile/top-rank0.txt").read_text()


def test_every_rank_may_be_profiled_and_the_end_of_the_run_ends_the_profile(pool: Pool, folder: Path) -> None:
    run = config(folder, "bert", "every", train_steps=2, profile_steps=(2, 9), profile_all_ranks=True)
    pool.run(train, 2, run, 1)
    assert len(list((folder / "every/profile").glob("trace-rank[01].json"))) == 2
    assert not (folder / "every/config.yaml").read_text().count("!!python")


def test_steps_to_profile_are_two_numbers_on_the_command_line(folder: Path) -> None:
    words = [
        *("--data.prefixes", "t", "--data.tokenizer", "v"),
        *("--training.output", "r", "--training.train_steps", "9", "--training.profile_steps", "3", "5"),
    ]
    options = parse_options(PretrainConfig, words, Program(name="p", description="d"))
    assert options.training.profile_steps == (3, 5)


def compiled_steps(case: Case, backend: str | None) -> dict[str, Any]:
    mesh = mesh_of(case)
    model = build_model_parts(case.model, case.layout, mesh, CPU, torch.float32, case.computation)
    fill(model)
    if backend:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        compile_blocks(model.blocks, backend, split_backward=case.layout.splits_backward)
    passes = distribute(model, case.layout, mesh, compute_dtype=torch.float32, sequence_length=LENGTH)
    optimizer = build_optimizer(model, OptimizerConfig())
    result: dict[str, Any] = {"losses": [], "norms": []}
    for step in range(2):
        done = train_step(passes, optimizer, microbatches(case, mesh, step), mesh, lr=1e-3, clip_grad=1.0)
        result["losses"].append((done.sums[:2] / done.counts).sum().item())
        result["norms"].append(done.gradient_norm)
    held_out = evaluate(passes, microbatches(case, mesh, 9), mesh)
    result["losses"].append((held_out.sums[:2] / held_out.counts).sum().item())
    if backend:
        counters = torch._dynamo.utils.counters
        result["breaks"] = dict(counters["graph_break"])
        result["graphs"] = counters["stats"]["unique_graphs"]
    result["names"] = [name for name, _ in model.named_parameters()]
    return result


def bert(ranks: int, **layout: Any) -> Case:
    return Case("bert", ParallelConfig(**layout), ranks, 0.1)


@pytest.mark.parametrize(
    ("case", "backend", "graphs"),
    [
        # One graph of all layers for training and one for evaluation.
        pytest.param(
            bert(2, tensor_parallel=2, recompute="selective"), "aot_eager", 2, marks=pytest.mark.slow
        ),
        pytest.param(bert(2, zero=3, recompute="full"), "aot_eager", 2, marks=pytest.mark.slow),
        (bert(2, pipeline_parallel=2, pipeline_schedule="zbv"), "aot_eager", 2),
        pytest.param(bert(2, tensor_parallel=2), "aot_eager", 2, marks=pytest.mark.slow),
        pytest.param(bert(2, zero=3), "aot_eager", 2, marks=pytest.mark.slow),
        pytest.param(bert(2, pipeline_parallel=2), "aot_eager", 2, marks=pytest.mark.slow),
        # The layer by which attention is divided is no constant of a graph.
        pytest.param(Case("gpt", ParallelConfig(), 1, 0.1, "scaled"), "aot_eager", 2, marks=pytest.mark.slow),
        pytest.param(
            Case("bert", ParallelConfig(tensor_parallel=2), 2, 0.1, "post"),
            "aot_eager",
            2,
            marks=pytest.mark.slow,
        ),
        # Operations that run as kernels are whole in the graph.
        pytest.param(replace(bert(1), kernels=KERNELS), "aot_eager", 2, marks=pytest.mark.slow),
        pytest.param(
            replace(bert(2, tensor_parallel=2, recompute="selective"), kernels=KERNELS),
            "inductor",
            2,
            marks=pytest.mark.slow,
        ),
        pytest.param(bert(4, tensor_parallel=2, zero=3), "inductor", 2, marks=pytest.mark.slow),
        pytest.param(bert(1), "inductor", 2, marks=pytest.mark.slow),
        pytest.param(
            bert(2, pipeline_parallel=2, pipeline_schedule="zero_bubble"),
            "inductor",
            2,
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_compiled_blocks_give_the_same_losses(pool: Pool, case: Case, backend: str, graphs: int) -> None:
    expected = pool.run(compiled_steps, case.ranks, case, None)[0]
    compiled = pool.run(compiled_steps, case.ranks, case, backend, limit=900.0)[0]
    assert compiled["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    assert compiled["norms"] == pytest.approx(expected["norms"], rel=1e-4)
    assert compiled["names"] == expected["names"]
    # Collectives and FSDP's hooks break no graph.
    assert compiled["breaks"] == {}
    assert compiled["graphs"] == graphs


def compiled_variable_length(case: Case, backend: str | None) -> dict[str, Any]:
    with varlen_on_cpu():
        return compiled_steps(case, backend)


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("architecture", ["bert", "gpt"])
def test_variable_length_attention_is_whole_in_the_graph(
    pool: Pool, architecture: str, recompute: str
) -> None:
    case = Case(architecture, ParallelConfig(recompute=recompute), 1, sequences_per_row=3)
    expected = pool.run(compiled_steps, 1, replace(case, sequences_per_row=0), None)[0]
    compiled = pool.run(compiled_variable_length, 1, case, "aot_eager", limit=900.0)[0]
    assert compiled["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    assert compiled["norms"] == pytest.approx(expected["norms"], rel=1e-4)
    assert (compiled["breaks"], compiled["graphs"]) == ({}, 2)


@pytest.mark.slow
def test_a_run_with_compiled_blocks_is_the_run_without(pool: Pool, folder: Path) -> None:
    pool.run(train, 2, config(folder, "bert", "eager", train_steps=2), 2)
    pool.run(train, 2, config(folder, "bert", "compiled", train_steps=2, compile=True), 2, limit=900.0)
    losses = [[record["loss"] for record in records(folder / name)] for name in ("compiled", "eager")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def deterministic_train(run: PretrainConfig, tp: int) -> tuple[bool, bool]:
    with deterministic_operations(run.training.deterministic):
        inside = torch.are_deterministic_algorithms_enabled() and "CUBLAS_WORKSPACE_CONFIG" in os.environ
        train(run, tp)
    return inside, torch.are_deterministic_algorithms_enabled()


def test_two_deterministic_runs_are_the_same_bits(pool: Pool, folder: Path) -> None:
    for output in ("one", "two"):
        run = config(folder, "bert", output, train_steps=3, deterministic=True)
        run = replace(run, training=replace(run.training, precision="bf16"))
        assert pool.run(deterministic_train, 4, run, 2) == [(True, False)] * 4
    assert records(folder / "one") == records(folder / "two")
    one, two = tensors(folder / "one"), tensors(folder / "two")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_without_the_option_nothing_is_set() -> None:
    before = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    with deterministic_operations(False):
        assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == before
