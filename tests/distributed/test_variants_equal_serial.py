"""The variants of the models compute at every layout what one process computes, as `test_parallel_equals_serial` shows for the rest."""

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
    case("post", 2, tensor_parallel=2, sequence_parallel=False),
    case("post", 2, tensor_parallel=2, recompute="selective"),
    case("post", 2, pipeline_parallel=2, recompute="full"),
    case("post", 2, zero=3),
    case("post", 2, zero=1),
    case("post", 4, tensor_parallel=2, pipeline_parallel=2, pipeline_schedule="zbv"),
    case("post_without_order", 2, tensor_parallel=2),
    case("post_without_order", 2, pipeline_parallel=2, pipeline_schedule="interleaved"),
    case("megatron", 2, tensor_parallel=2),
    case("megatron", 2, zero=3),
    case("scaled", 2, tensor_parallel=2, recompute="selective"),
    case("scaled", 2, pipeline_parallel=2, dropout=0.0),
    case("scaled", 2, zero=3),
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
