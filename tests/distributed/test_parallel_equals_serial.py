"""Every layout computes what one process computes: losses, gradient norms, gradients after 1 step, parameters after 3.

Microbatches and ranks have unequal numbers of predictions. The reference is a serial model written apart from the package.
"""

from functools import partial

import pytest

from megatron_bio.config.parallel import ParallelConfig
from tests.distributed.comparison import HEADS, compare
from tests.distributed.equality import check, serial
from tests.distributed.matrix import every_layout, pairwise
from tests.distributed.pool import Pool
from tests.distributed.training_case import Case, train


# Every fifth one in `make test`, all of them in `make test-all`.
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if number % 5 else (), id=str(case))
        for number, case in enumerate(pairwise())
    ],
)
def test_every_pair_of_settings_equals_serial(pool: Pool, case: Case) -> None:
    check(pool, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", every_layout(), ids=str)
def test_every_layout_equals_serial(pool: Pool, case: Case) -> None:
    check(
        pool, case, partial(train, implementation="fused")
    )  # a third faster: one operation instead of twelve


def test_comparison_notices_swapped_keys_and_queries(pool: Pool) -> None:
    expected = serial(pool, Case("bert", ParallelConfig()).model)
    broken = {name: value.clone() for name, value in expected.gradients.items()}
    name = "layers.0.self_attention.query_key_value.weight"
    broken[name] = broken[name].unflatten(0, (HEADS, 3, -1))[:, [1, 0, 2]].flatten(0, 2)
    assert len(compare(broken, expected.gradients, 1e-6)) == 2
