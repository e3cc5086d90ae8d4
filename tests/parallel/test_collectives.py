"""Each collective does what its line in the table says, and so does its gradient."""

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from megatron_bio.parallel import collectives
from tests.distributed.pool import CaseFailedError, Pool

RANKS = 4
# y of all ranks as a function of x of all ranks, both [ranks, length, 3]; replicated inputs are equal on all ranks.
DEFINITIONS = {
    "copy": lambda x: x,
    "reduce": lambda x: x.sum(0, keepdim=True).expand_as(x),
    "gather": lambda x: x.flatten(0, 1).expand(RANKS, -1, -1),
    "reduce_scatter": lambda x: x.sum(0).unflatten(0, (RANKS, -1)),
    "split": lambda x: x[0].unflatten(0, (RANKS, -1)),
    "join": lambda x: x.flatten(0, 1).expand(RANKS, -1, -1),
}


def run_one(name: str, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    rank = dist.get_rank()
    own = x[rank].clone().requires_grad_()
    y = getattr(collectives, name)(own, dist.group.WORLD)
    (y * weights[rank]).sum().backward()
    return y.detach(), own.grad


@pytest.mark.parametrize("name", DEFINITIONS)
def test_forward_and_backward(pool: Pool, name: str) -> None:
    g = torch.Generator().manual_seed(1)
    length = 8 if name in ("reduce_scatter", "split") else 2
    x = torch.randn(RANKS, length, 3, generator=g, dtype=torch.float64)
    if name in ("copy", "split"):
        x = x[:1].expand_as(x).clone()
    y = DEFINITIONS[name](x)
    weights = torch.randn(y.shape, generator=g, dtype=torch.float64)
    if name in ("reduce", "join"):  # what follows is the same work on every rank
        weights = weights[:1].expand_as(weights).clone()
    results = pool.run(run_one, RANKS, name, x, weights)
    for rank, (value, _) in enumerate(results):
        torch.testing.assert_close(value, y[rank])
    torch.testing.assert_close(torch.stack([grad for _, grad in results]), expected_gradient(name, weights))


def expected_gradient(name: str, weights: Tensor) -> Tensor:
    if name in ("copy", "reduce_scatter", "gather", "split"):
        table = {
            "copy": lambda w: w.sum(0, keepdim=True).expand_as(w),
            "gather": lambda w: w.sum(0).unflatten(0, (RANKS, -1)),
            "reduce_scatter": lambda w: w.flatten(0, 1).expand(RANKS, -1, -1),
            "split": lambda w: w.flatten(0, 1).expand(RANKS, -1, -1),
        }
        return table[name](weights)
    return weights if name == "reduce" else weights[0].unflatten(0, (RANKS, -1))


def fail_on(rank: int) -> None:
    if dist.get_rank() == rank:
        raise RuntimeError("this rank is broken on purpose")
    dist.barrier()


def test_pool_reports_the_rank_that_failed_and_goes_on(pool: Pool) -> None:
    with pytest.raises(CaseFailedError, match=r"rank 1 failed:\n(.|\n)*broken on purpose"):
        pool.run(fail_on, 2, 1, limit=20.0)
    assert pool.run(dist_size, 2) == [2, 2]


def dist_size() -> int:
    return dist.get_world_size()
