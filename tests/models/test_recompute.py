"""Recomputation computes what it says a second time, and only that."""

from collections import Counter
from typing import Any

import pytest

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.attention import attention
from megatron_bio.models import attention as attention_module
from megatron_bio.models.block import MLP, TransformerBlock
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import train_step
from tests.distributed.pool import Pool
from tests.distributed.training_case import MICROBATCHES, Case, build, mesh_of, microbatches


def forwards_of_a_step(case: Case) -> dict[str, float]:
    """Return how often this rank computes a layer, its attention core and its activation, per layer and microbatch."""
    calls: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return function(*args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransformerBlock, "_compute", counted("layer", TransformerBlock._compute))
        patch.setattr(attention_module, "attention", counted("core", attention))
        patch.setattr(MLP, "_leave", counted("activation", MLP._leave))
        mesh = mesh_of(case)
        passes = build(case, mesh)
        optimizer = build_optimizer(passes.model, OptimizerConfig())
        train_step(passes, optimizer, microbatches(case, mesh, 0), mesh, lr=1e-3, clip_grad=1.0)
    return {name: count / len(passes.model.blocks) / MICROBATCHES for name, count in calls.items()}


@pytest.mark.parametrize(
    ("layout", "layer", "inside"),
    [
        ({}, 1, 1),
        ({"recompute": "selective"}, 1, 2),
        ({"recompute": "full"}, 2, 2),
        ({"recompute": "full", "recompute_every": 2}, 1.6, 1.6),  # layers 0, 2 and 4 of five
        ({"recompute": "selective", "recompute_every": 5}, 1, 1.2),
    ],
)
def test_what_is_computed_twice(pool: Pool, layout: dict[str, Any], layer: float, inside: float) -> None:
    counts = pool.run(forwards_of_a_step, 1, Case("bert", ParallelConfig(**layout)))[0]
    assert counts == {"layer": layer, "core": inside, "activation": inside}


def test_a_split_backward_recomputes_the_inside_twice(pool: Pool) -> None:
    layout = ParallelConfig(pipeline_parallel=2, pipeline_schedule="zbv", recompute="selective")
    last = pool.run(forwards_of_a_step, 2, Case("bert", layout, 2))[1]
    assert last == {"layer": 1, "core": 2, "activation": 3}
