"""Models whose operations go the way of the CUDA kernels compute what the serial model does; see `test_parallel_equals_serial`.

On the CPU torch.library takes the definitions in torch, so this shows the paths through models and layouts and not the kernels;
`tests/kernels` has these.
"""

from typing import Any

import pytest

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.kernels.choice import OPERATIONS
from megatron_bio.training.computation import fitting_kernels
from tests.distributed.equality import check
from tests.distributed.pool import Pool
from tests.distributed.training_case import Case


def case(architecture: str, ranks: int, variant: str = "", dropout: float = 0.1, **layout: Any) -> Case:
    parallel = ParallelConfig(**layout)
    kernels = fitting_kernels(frozenset(OPERATIONS), parallel)
    return Case(architecture, parallel, ranks, dropout, variant, kernels)


CASES = [
    pytest.param(case("bert", 1), marks=pytest.mark.slow),
    case("bert", 2, "post", tensor_parallel=2, recompute="selective"),
    pytest.param(case("gpt", 2, tensor_parallel=2, sequence_parallel=False), marks=pytest.mark.slow),
    case("gpt", 2, pipeline_parallel=2, pipeline_schedule="zero_bubble"),
    pytest.param(case("bert", 4, tensor_parallel=2, zero=3, recompute="full"), marks=pytest.mark.slow),
    pytest.param(case("bert", 1, dropout=0.0), marks=pytest.mark.slow),
    pytest.param(case("gpt", 4, "scaled", tensor_parallel=2, pipeline_parallel=2), marks=pytest.mark.slow),
    pytest.param(case("bert", 2, pipeline_parallel=2, pipeline_schedule="zbv"), marks=pytest.mark.slow),
    # The sum of embeddings takes the tables of layers whose own forward does not run.
    pytest.param(case("bert", 2, data_parallel_shard=2, zero=3), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_path_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case)
