"""One set of tests for everything that an option of `implementations.registry` may name, ours, a library's or a third party's.

apex and transformer-engine are run twice: as the adapter over a stand-in with the library's signatures, on any machine, and the
real one where it is (marked gpu).
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from megatron_bio.config.training import OptimizerConfig
from megatron_bio.parallel.implementations import apex, transformer_engine
from megatron_bio.parallel.implementations.registry import BUILT_IN, implementation
from megatron_bio.training.optimizer import (
    build_optimizer,
    optimizer_tensors,
    set_learning_rate,
    set_optimizer_step,
)
from tests.parallel.implementations.stand_ins import installed

OWN = "tests.parallel.implementations.own"
ADAPTERS = {"apex": apex, "transformer_engine": transformer_engine}
FP8_TOLERANCE = 0.1
"""E4M3 keeps 4 bits and E5M2 3, so a rounding is wrong by up to 1/16 and 1/8, and sums of them by about a third of it."""
DTYPES = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 1.5e-3}
"""To what may differ of a norm or of a product: a few roundings."""


def cases(option: str, own: str) -> list[Any]:
    """Return (name, whether the library is simulated) of everything that computes `option`."""
    found = []
    for name in (*BUILT_IN[option], f"{OWN}:{own}"):
        found.append(
            pytest.param(name, name in ADAPTERS, id=f"{name}-simulated" if name in ADAPTERS else name)
        )
        if name in ADAPTERS:
            found.append(pytest.param(name, False, id=name, marks=[pytest.mark.gpu, pytest.mark.peer]))
    return found


@contextlib.contextmanager
def prepared(option: str, name: str, simulated: bool) -> Iterator[torch.device]:
    """Give the device on which the implementation runs; skip the test where the library is absent."""
    if simulated:
        with installed():
            yield torch.device("cpu")
    elif name in ADAPTERS:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        function = BUILT_IN[option][name].partition(":")[2]
        if problem := ADAPTERS[name].obstacle(function, device):
            pytest.skip(problem)
        yield torch.device(device)
    else:
        yield torch.device("cpu")


def distance(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


def draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def assert_equal(
    found: Callable[..., Tensor], expected: Callable[..., Tensor], inputs: list[Tensor], tolerance: float
) -> None:
    """Compare results and the gradients of all inputs with those in float64."""
    own = [x.clone().requires_grad_() for x in inputs]
    exact = [x.double().requires_grad_() for x in inputs]
    result, right = found(*own), expected(*exact)
    assert result.dtype == inputs[0].dtype and result.shape == right.shape
    assert distance(result, right) <= tolerance
    gradient = draw(tuple(right.shape), 9, inputs[0].dtype, right.device)
    gradients = torch.autograd.grad(result, own, gradient)
    for one, other in zip(gradients, torch.autograd.grad(right, exact, gradient.double()), strict=True):
        assert one.dtype == inputs[0].dtype and one.shape == other.shape
        assert distance(one, other) <= tolerance


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(5, 3, 48), (2, 2, 37)], ids=str)
@pytest.mark.parametrize(("name", "simulated"), cases("training.norm", "norm"))
def test_norms(name: str, simulated: bool, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    with prepared("training.norm", name, simulated) as device:
        norm = implementation("training.norm", name, device.type)
        inputs = [
            draw(size, seed, dtype, device) for seed, size in enumerate((shape, shape[-1:], shape[-1:]))
        ]
        for epsilon in (1e-5, 0.5):  # a large one shows whether it is used
            assert_equal(
                lambda x, w, b, e=epsilon: norm(x, w, b, e),
                lambda x, w, b, e=epsilon: torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, e),
                inputs,
                DTYPES[dtype],
            )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("name", "simulated"), cases("training.linear", "linear"))
def test_products(name: str, simulated: bool, bias: bool, dtype: torch.dtype) -> None:
    with prepared("training.linear", name, simulated) as device:
        linear = implementation("training.linear", name, device.type)
        sizes = [(8, 4, 48), (32, 48), *([(32,)] if bias else [])]
        inputs = [draw(size, seed, dtype, device) for seed, size in enumerate(sizes)]
        tolerance = FP8_TOLERANCE if name == "transformer_engine" else DTYPES[dtype]
        assert_equal(linear, torch.nn.functional.linear, inputs, tolerance)


class Toy(nn.Module):
    """A matrix and a bias."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.matrix = nn.Parameter(draw((3, 4), 1, torch.float32, device))
        self.bias = nn.Parameter(draw((4,), 2, torch.float32, device))

    def step(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        self.matrix.grad = draw((3, 4), 10 + number, torch.float32, self.bias.device)
        self.bias.grad = draw((4,), 20 + number, torch.float32, self.bias.device)
        set_learning_rate(optimizer, 1e-2 / number)
        optimizer.step()


def settings(implementation: str) -> OptimizerConfig:
    return OptimizerConfig(implementation=implementation, lr=1e-2, weight_decay=0.1, beta2=0.95, epsilon=1e-3)


def trained(
    before: str, after: str, steps: tuple[int, int], device: torch.device
) -> tuple[Toy, torch.optim.Optimizer]:
    """Make the first steps with one optimizer and the rest with the other, which loads what a checkpoint keeps."""
    model = Toy(device)
    optimizer = build_optimizer(model, settings(before))
    for number in range(1, steps[0] + 1):
        model.step(optimizer, number)
    kept = {name: value.clone() for name, value in optimizer_tensors(model, optimizer).items()}
    optimizer = build_optimizer(model, settings(after))
    for name, value in optimizer_tensors(model, optimizer).items():
        value.copy_(kept[name])
    set_optimizer_step(optimizer, steps[0])
    for number in range(steps[0] + 1, sum(steps) + 1):
        model.step(optimizer, number)
    return model, optimizer


def assert_like_foreach(before: str, after: str, device: torch.device) -> None:
    model, optimizer = trained(before, after, (2, 3), device)
    expected, reference = trained("foreach", "foreach", (5, 0), device)
    for name, parameter in expected.named_parameters():
        assert distance(dict(model.named_parameters())[name], parameter) < 1e-6, name
    kept = optimizer_tensors(model, optimizer)
    assert kept.keys() == {f"{name}.exp_avg{end}" for name in ("matrix", "bias") for end in ("", "_sq")}
    for name, moment in optimizer_tensors(expected, reference).items():
        assert distance(kept[name], moment) < 1e-6, name
    assert {int(state["step"]) for state in optimizer.state.values()} == {5}


@pytest.mark.parametrize(("name", "simulated"), cases("optimizer.implementation", "LoopAdam"))
def test_optimizers_and_resuming_from_each_to_torch_and_back(name: str, simulated: bool) -> None:
    with prepared("optimizer.implementation", name, simulated) as device:
        for before, after in itertools.product((name, "foreach"), repeat=2):
            assert_like_foreach(before, after, device)


@pytest.mark.parametrize(("name", "simulated"), cases("optimizer.implementation", "LoopAdam"))
def test_a_parameter_without_gradient_stays_as_it_is(name: str, simulated: bool) -> None:
    with prepared("optimizer.implementation", name, simulated) as device:
        model = Toy(device)
        optimizer = build_optimizer(model, settings(name))
        before = model.matrix.detach().clone()
        model.bias.grad = draw((4,), 1, torch.float32, device)
        optimizer.step()
        assert torch.equal(model.matrix, before)
        assert [int(optimizer.state[p]["step"]) for p in (model.matrix, model.bias)] == [0, 1]
