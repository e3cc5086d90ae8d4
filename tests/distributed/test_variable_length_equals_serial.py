"""Models with attention of variable length compute what the serial model does; see `test_parallel_equals_serial`.

The kernel below is a loop over sequences (`varlen_on_cpu`): this shows boundaries, layout, pipelines and recomputation.
"""

from typing import Any

import pytest

from megatron_bio.config.parallel import ParallelConfig
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


def case(architecture: str, ranks: int, variant: str = "", **layout: Any) -> Case:
    return Case(architecture, ParallelConfig(**layout), ranks, 0.0, variant, sequences_per_row=SEQUENCES)


CASES = [
    case("bert", 1),
    case("gpt", 1, "scaled", recompute="full"),
    case("bert", 2, tensor_parallel=2, recompute="selective"),
    case("gpt", 2, tensor_parallel=2, sequence_parallel=False),
    case("gpt", 2, pipeline_parallel=2, pipeline_schedule="zero_bubble"),
    pytest.param(
        case("bert", 2, pipeline_parallel=2, pipeline_schedule="zbv", recompute="selective"),
        marks=pytest.mark.slow,
    ),
    pytest.param(case("bert", 2, "post", zero=3, recompute="full"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_variable_length_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case, train_variable_length)
