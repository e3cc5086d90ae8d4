"""Each optimizer makes the step that its paper writes down, whatever computes it and however parameters are split."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.training.optimizer import build_optimizer, set_learning_rate
from megatron_bio.training.step import train_step
from tests.distributed.comparison import compare
from tests.distributed.pool import Pool
from tests.distributed.training_case import Case, build, gathered, mesh_of, microbatches

PEAK, RATES, DECAY = 1e-2, (2e-3, 1e-2, 5e-3), 0.1


def settings(name: str, **values: Any) -> OptimizerConfig:
    """Both with the same decay at the peak, as each writes it."""
    decay = DECAY * PEAK if name == "decoupled_adamw" else DECAY
    return OptimizerConfig(**({"name": name, "lr": PEAK, "weight_decay": decay, "beta2": 0.95} | values))


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.matrix = nn.Parameter(torch.randn(3, 4, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(4, generator=generator, dtype=torch.float64))


def gradient(step: int, shape: torch.Size) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(10 + step), dtype=torch.float64)


def by_hand(weight: Tensor, config: OptimizerConfig, decayed: bool) -> Tensor:
    """The published step, written in numbers: Composer's decay is lr / initial lr * decay, AdamW's lr * decay."""
    weight, first, second = weight.detach().clone(), torch.zeros_like(weight), torch.zeros_like(weight)
    for step, rate in enumerate(RATES, start=1):
        g = gradient(step, weight.shape)
        factor = rate / PEAK if config.name == "decoupled_adamw" else rate
        if decayed:
            weight -= factor * config.weight_decay * weight
        first = config.beta1 * first + (1 - config.beta1) * g
        second = config.beta2 * second + (1 - config.beta2) * g * g
        corrected = first / (1 - config.beta1**step)
        weight -= rate * corrected / ((second / (1 - config.beta2**step)).sqrt() + config.epsilon)
    return weight


@pytest.mark.parametrize("decay_bias_and_norm", [False, True])
@pytest.mark.parametrize("implementation", ["foreach", "fused"])
@pytest.mark.parametrize("name", ["adamw", "decoupled_adamw"])
def test_the_published_step(name: str, implementation: str, decay_bias_and_norm: bool) -> None:
    config = settings(name, implementation=implementation, decay_bias_and_norm=decay_bias_and_norm)
    model = Toy()
    expected = {
        "matrix": by_hand(model.matrix, config, True),
        "bias": by_hand(model.bias, config, decay_bias_and_norm),
    }
    optimizer = build_optimizer(model, config)
    for step, rate in enumerate(RATES, start=1):
        for parameter in model.parameters():
            parameter.grad = gradient(step, parameter.shape)
        set_learning_rate(optimizer, rate)
        optimizer.step()
    for key, parameter in model.named_parameters():
        assert torch.allclose(parameter, expected[key], rtol=1e-12, atol=0), key


def test_the_decay_of_biomedlm_is_adamw_s_tenth() -> None:
    config = OptimizerConfig(name="decoupled_adamw", lr=1.6e-4, weight_decay=1.6e-5)
    decays = [group["weight_decay"] for group in build_optimizer(Toy(), config).param_groups]
    assert math.isclose(decays[0], 0.1)
    assert decays[1] == 0.0


def two_steps(case: Case, implementation: str) -> dict[str, Tensor]:
    mesh = mesh_of(case)
    passes = build(case, mesh)
    optimizer = build_optimizer(passes.model, settings("adamw", implementation=implementation))
    for step in range(2):
        train_step(passes, optimizer, microbatches(case, mesh, step), mesh, lr=1e-3, clip_grad=1.0)
    return gathered(dict(passes.model.named_parameters()))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case("bert", ParallelConfig(tensor_parallel=2), 2), marks=pytest.mark.slow),
        Case("bert", ParallelConfig(zero=3), 2),
    ],
    ids=str,
)
def test_fused_equals_foreach_on_split_parameters(pool: Pool, case: Case) -> None:
    expected = pool.run(two_steps, case.ranks, case, "foreach")[0]
    fused = pool.run(two_steps, case.ranks, case, "fused")[0]
    assert compare(fused, expected, 2 * 1e-3 * 2) == []
