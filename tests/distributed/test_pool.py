"""The pool of ranks: what a case leaves behind in its processes, and what is told of one that fails."""

import os
from pathlib import Path

import pytest
import torch.distributed as dist

from megatron_bio.config.parallel import ParallelConfig
from tests.distributed.pool import CaseFailedError, Pool
from tests.distributed.training_case import Case, train


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux shows them")
def test_ranks_let_go_of_the_process_groups_of_a_case(pool: Pool) -> None:
    """Each group has threads that wake all the time: those of hundreds of cases would take the machine."""
    sharded, split = (
        Case("bert", layout, ranks=2)
        for layout in (ParallelConfig(zero=3), ParallelConfig(tensor_parallel=2))
    )
    pool.run(train, 2, sharded)  # what torch starts once is running then
    before = pool.run(threads, 2)
    pool.run(train, 2, split)
    assert pool.run(threads, 2) == before


def fail_on_rank_1() -> None:
    if dist.get_rank() == 1:
        raise ValueError("the first to fail")
    dist.barrier()


def die_on_rank_1() -> None:
    if dist.get_rank() == 1:
        os._exit(3)
    dist.barrier()


def test_a_failing_rank_is_named_before_those_that_miss_it_and_all_go_on(pool: Pool) -> None:
    before = pool.run(os.getpid, 2)
    with pytest.raises(CaseFailedError, match=r"\Arank 1 failed:\n(.|\n)*the first to fail"):
        pool.run(fail_on_rank_1, 2)
    assert pool.run(os.getpid, 2) == before


def test_a_rank_that_died_is_named_and_the_next_case_has_fresh_ones() -> None:
    own = Pool()  # the other tests keep theirs
    try:
        with pytest.raises(CaseFailedError, match="rank 1 failed:\nthe process died"):
            own.run(die_on_rank_1, 2)
        assert own.run(dist.get_rank, 2) == [0, 1]
    finally:
        own.close()
