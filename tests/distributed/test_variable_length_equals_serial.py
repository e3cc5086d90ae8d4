"""Models with attention of variable length compute what the serial model does; see `test_parallel_equals_serial`.

The kernel below is a loop over sequences (`varlen_on_cpu`): this shows boundaries, layout, pipelines and recomputation, with the
other operations as plain torch and on the way of the CUDA kernels.
"""

from typing import Any

import pytest

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.kernels.choice import OPERATIONS
from megatron_bio.training.computation import fitting_kernels
from tests.distributed.equality import check
from tests.distributed.pool import Pool
from tests.distributed.training_case import MICROBATCHES, STEPS, Case, train
from tests.kernels.varlen_on_cpu import varlen_on_cpu

SEQUENCES = 3  # the rows of `batches` have one or two samples, and padding


def train_variable_length(case: Case) -> dict[str, Any]:
    with varlen_on_cpu() as calls:
        result = train(case)
    assert len(calls) >= STEPS * MICROBATCHES / case.data_parallel and len(set(calls)) == 1
    return result


def case(architecture: str, ranks: int, variant: str = "", kernels: bool = False, **layout: Any) -> Case:
    parallel = ParallelConfig(**layout)
    chosen = fitting_kernels(frozenset(OPERATIONS), parallel) if kernels else frozenset()
    return Case(architecture, parallel, ranks, 0.0, variant, chosen, SEQUENCES)


CASES = [
    case("bert", 1),
    case("gpt", 1, "scaled", recompute="full"),
    case("bert", 2, kernels=True, tensor_parallel=2, recompute="selective"),
    case("gpt", 2, tensor_parallel=2, sequence_parallel=False),
    case("gpt", 2, kernels=True, pipeline_parallel=2, pipeline_schedule="zero_bubble"),
    pytest.param(
        case("bert", 2, pipeline_parallel=2, pipeline_schedule="zbv", recompute="selective"),
        marks=pytest.mark.slow,
    ),
    pytest.param(case("bert", 2, "post", kernels=True, zero=3, recompute="full"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_variable_length_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case, train_variable_length)
