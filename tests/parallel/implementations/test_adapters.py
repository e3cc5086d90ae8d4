"""What the adapters ask of apex and transformer-engine: plain tensors of the right shapes, from whole models at several layouts."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.parallel.computation import Computation
from megatron_bio.parallel.implementations import apex, transformer_engine
from megatron_bio.parallel.implementations.registry import implementation
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step
from tests.distributed.batches import LENGTH
from tests.distributed.comparison import compare
from tests.distributed.pool import Pool
from tests.distributed.training_case import CPU, Case, fill, gathered, mesh_of, microbatches
from tests.parallel.implementations.stand_ins import installed

TORCH = {"norm": "torch", "linear": "torch", "optimizer": "foreach"}
NVIDIA = {"norm": "transformer_engine", "linear": "transformer_engine", "optimizer": "apex"}
APEX = {**TORCH, "norm": "apex", "optimizer": "apex"}
OWN = {name: f"tests.parallel.implementations.own:{name}" for name in ("norm", "linear")} | {
    "optimizer": "tests.parallel.implementations.own:LoopAdam"
}
SERIAL, SPLIT, SHARDED = (
    Case("bert", ParallelConfig()),
    Case("gpt", ParallelConfig(tensor_parallel=2), 2),
    Case("bert", ParallelConfig(zero=3), 2),
)
LAYERS, WIDTH = 5, 32
Result = tuple[dict[str, Tensor], float, dict[str, Any]]


def steps(case: Case, names: dict[str, str], fp8: bool) -> Result:
    """Return parameters after two steps, the first loss, and rank 0's calls of the stand-ins."""
    with installed(fp8) as calls:
        mesh = mesh_of(case)
        chosen = {name: implementation(f"training.{name}", names[name], "cpu") for name in ("norm", "linear")}
        parts = build_model_parts(case.model, case.layout, mesh, CPU, torch.float32, Computation(**chosen))
        fill(parts)
        passes = distribute(parts, case.layout, mesh, compute_dtype=torch.float32, sequence_length=LENGTH)
        optimizer = build_optimizer(parts, OptimizerConfig(implementation=names["optimizer"], epsilon=1e-6))
        losses = []
        for step in range(2):
            batches = microbatches(case, mesh, step)
            result = train_step(passes, optimizer, batches, mesh, lr=1e-3, clip_grad=1.0)
            losses.append(float((result.sums[: parts.num_losses] / result.counts).sum()))
        return gathered(dict(parts.named_parameters())), losses[0], asdict(calls)


@pytest.fixture(scope="module")
def with_torch(pool: Pool) -> Callable[[Case], Result]:
    """Return what `steps` gives without adapters."""
    return cache(lambda case: pool.run(steps, case.ranks, case, TORCH, False)[0])


@pytest.mark.parametrize("names", [NVIDIA, APEX, OWN], ids=["transformer_engine", "apex", "own"])
@pytest.mark.parametrize("case", [SERIAL, SPLIT, SHARDED], ids=str)
def test_models_train_as_with_torch(
    pool: Pool, with_torch: Callable[[Case], Result], case: Case, names: dict[str, str]
) -> None:
    """The stand-ins' products are exact here, so that weights of all layouts have torch's names and values."""
    expected, _, nothing = with_torch(case)
    assert not any(nothing.values())
    found, _, calls = pool.run(steps, case.ranks, case, names, False)[0]
    assert compare(found, expected, 2 * 1e-3 * 2) == []
    assert bool(calls["norms"]) == (names is not OWN) and bool(calls["products"]) == (names is NVIDIA)
    assert [group["step"] for group in calls["adam"]] == ([1, 1, 2, 2] if names is not OWN else [])


@pytest.mark.parametrize("case", [SERIAL, SPLIT], ids=str)
def test_every_matrix_of_a_block_is_multiplied_in_fp8_and_nothing_else(
    pool: Pool, with_torch: Callable[[Case], Result], case: Case
) -> None:
    _, exact, _ = with_torch(case)
    _, loss, calls = pool.run(steps, case.ranks, case, NVIDIA, True)[0]
    assert loss != exact and loss == pytest.approx(exact, rel=0.02)
    rows, tp = 2, case.layout.tensor_parallel  # rows of a microbatch
    inner = 4 * WIDTH // tp
    block = [
        ((LENGTH, rows, WIDTH), (3 * WIDTH // tp, WIDTH)),
        ((LENGTH, rows, WIDTH // tp), (WIDTH, WIDTH // tp)),
        ((LENGTH, rows, WIDTH), (inner, WIDTH)),
        ((LENGTH, rows, inner), (WIDTH, inner)),
    ]
    assert calls["products"] == block * LAYERS * 4 * 2  # microbatches, steps
    assert set(calls["recipes"]) == {"Float8CurrentScaling"}
    whole = LENGTH // tp
    assert calls["norms"][: 2 * LAYERS] == [(whole, rows, WIDTH)] * 2 * LAYERS


def test_apex_gets_gradients_in_the_order_of_the_parameter() -> None:
    """Its kernel knows addresses and no strides."""
    gradient = torch.arange(6.0).view(3, 2).T
    found = []
    for name in ("apex", "foreach"):
        model = torch.nn.Linear(3, 2, bias=False)
        torch.nn.init.ones_(model.weight)
        with installed():
            optimizer = build_optimizer(model, OptimizerConfig(implementation=name, epsilon=1.0))
            model.weight.grad = gradient
            optimizer.step()
        found.append(model.weight.detach())
    torch.testing.assert_close(*found)


def test_sizes_that_fp8_does_not_take_are_named() -> None:
    x = torch.zeros(3, 5, 32)
    with (
        installed(),
        pytest.raises(
            ConfigurationError,
            match=r"multiples of 16; found 15 positions .* a matrix of 48 by 32 on each rank",
        ),
    ):
        transformer_engine.linear(x, torch.zeros(48, 32))


@pytest.mark.filterwarnings("error:.*lru_cache")  # which torch.compile says when it looks through a cache
def test_compiled_code_calls_the_same_module_and_makes_none() -> None:
    x, weight, bias = torch.ones(16, 32), torch.arange(512.0).cos().view(16, 32), torch.ones(16)

    @torch.compile(backend="eager")
    def both(x: Tensor, epsilon: float) -> Tensor:
        return transformer_engine.norm(transformer_engine.linear(x * 2, weight), bias, bias, epsilon)

    with installed(fp8=False):
        expected = torch.nn.functional.layer_norm(2 * x @ weight.T, (16,), bias, bias)
        for _ in range(2):
            torch.testing.assert_close(both(x, 1e-5), expected)
        assert (
            transformer_engine._linear.cache_info().misses
            == transformer_engine._norm.cache_info().misses
            == 1
        )


def test_weights_get_their_gradients_though_the_module_owns_others() -> None:
    weight = torch.zeros(16, 32, requires_grad=True)
    with installed():
        for _ in range(2):  # the same module twice before a backward, as in a pipeline
            transformer_engine.linear(torch.ones(16, 32), weight + 0).sum().backward()
    assert weight.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("adapter", "name", "absent", "words"),
    [
        (apex, "norm", "fused_layer_norm_cuda", "apex with its CUDA extensions is not installed"),
        (apex, "adam", "amp_C", "build it from github.com/NVIDIA/apex"),
        (apex, "adam", "apex.optimizers", "the package index has another project"),
        (transformer_engine, "linear", "transformer_engine.pytorch", "transformer-engine is not installed"),
    ],
)
def test_an_absent_library_is_an_obstacle(adapter: Any, name: str, absent: str, words: str) -> None:
    with installed():
        assert adapter.obstacle(name, "cpu") == ""
    with installed(without=(absent,)):
        assert words in adapter.obstacle(name, "cpu")


def test_an_old_transformer_engine_and_a_gpu_without_fp8_are_obstacles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with installed():
        import transformer_engine.pytorch as te

        monkeypatch.setattr(te, "is_fp8_available", lambda return_reason: (False, "compute capability 8.0"))
        assert "no FP8 on this device: compute capability 8.0" in transformer_engine.obstacle("linear", "cpu")
        assert transformer_engine.obstacle("norm", "cpu") == ""
        monkeypatch.delattr(te, "autocast")
        assert "2.9 is needed" in transformer_engine.obstacle("norm", "cpu")


def test_adapters_are_short() -> None:
    for module in (apex, transformer_engine):
        assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) < 100
