"""The variants of the models compute at every layout what one process computes; see `test_parallel_equals_serial`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from megatron_bio.config.parallel import ParallelConfig
from tests.distributed.equality import check
from tests.distributed.matrix import pairwise
from tests.distributed.pool import Pool
from tests.distributed.training_case import VARIANTS, Case


def case(variant: str, ranks: int, dropout: float = 0.1, **layout: Any) -> Case:
    architecture = "gpt" if variant == "scaled" else "bert"
    return Case(architecture, ParallelConfig(**layout), ranks, dropout, variant)


CASES = [
    pytest.param(case("post", 2, tensor_parallel=2, sequence_parallel=False), marks=pytest.mark.slow),
    case("post", 2, tensor_parallel=2, recompute="selective"),
    case("post", 2, pipeline_parallel=2, recompute="full"),
    case("post", 2, zero=3),
    case("post_without_order", 2, pipeline_parallel=2, pipeline_schedule="interleaved"),
    case("megatron", 2, tensor_parallel=2),
    case("scaled", 2, tensor_parallel=2, recompute="selective"),
    pytest.param(case("scaled", 2, pipeline_parallel=2, dropout=0.0), marks=pytest.mark.slow),
]


def every_setting() -> Iterator[Case]:
    """Yield the variants at the layouts that have every pair of settings."""
    for variant in filter(None, VARIANTS):
        architecture = case(variant, 1).architecture
        yield from (replace(one, variant=variant) for one in pairwise() if one.architecture == architecture)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_variant_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", every_setting(), ids=str)
def test_variant_with_every_pair_of_settings_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case)
