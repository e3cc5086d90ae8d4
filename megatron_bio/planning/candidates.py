"""All layouts that a cluster allows: every rank is used, tensor parallelism stays inside a node."""

from collections.abc import Iterator
from itertools import product
from typing import Literal

from megatron_bio.config.parallel import ParallelConfig, Recompute, Schedule
from megatron_bio.config.plan import PlanOptions
from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Workload

Zero = Literal[0, 1, 2, 3]
_ZEROS: tuple[Zero, ...] = (0, 1, 2, 3)
_SCHEDULES: tuple[tuple[Schedule, int | None], ...] = (
    *(("1f1b", None), ("interleaved", 2), ("interleaved", 4)),
    *(("zero_bubble", 2), ("zbv", 2)),
)
RECOMPUTATIONS: tuple[tuple[Recompute, int], ...] = (
    *(("none", 1), ("selective", 1)),
    *(("full", 4), ("full", 2), ("full", 1)),
)
"""Kinds and which layers, least recomputation first."""
_MOST_ROWS = 128


def splits(options: PlanOptions, cluster: Cluster) -> Iterator[ParallelConfig]:
    """Give the ways to deal the ranks, without recomputation; those that training refuses whatever the model is are left out."""
    for tp, pp, dp in _sizes(options, cluster):
        for (schedule, stages), (zero, shard) in product(
            _schedules(options, pp), _sharing(options, cluster, tp, pp, dp)
        ):
            yield ParallelConfig(
                tensor_parallel=tp,
                sequence_parallel=options.row_length % tp == 0,
                pipeline_parallel=pp,
                pipeline_schedule=schedule,
                stages_per_rank=stages,
                data_parallel=dp,
                data_parallel_shard=shard,
                zero=zero,
            )


def why_no_split(options: PlanOptions, cluster: Cluster) -> str:
    """Return which of the fixed options leave nothing of `splits`, in words for people."""
    tp, pp, gpus = options.tensor_parallel or 1, options.pipeline_parallel or 1, cluster.gpus
    if gpus % tp or cluster.gpus_per_node % tp:
        return f"--tensor_parallel {tp} does not divide the {cluster.gpus_per_node} GPUs of a node"
    if pp > options.model.num_layers:
        return f"--pipeline_parallel {pp} is more than the {options.model.num_layers} layers"
    if gpus % (tp * pp):
        fixed = (
            f"--tensor_parallel {tp} x --pipeline_parallel {pp}" if tp > 1 else f"--pipeline_parallel {pp}"
        )
        return f"{fixed} does not divide the {gpus} GPUs"
    if options.zero == 2 and pp > 1:
        return "--zero 2 cannot be combined with --pipeline_parallel above 1, whose gradients stay whole until the last microbatch"
    return f"--zero {options.zero} has no meaning with one data-parallel rank, which is all that {gpus} GPUs leave"


def _sizes(options: PlanOptions, cluster: Cluster) -> Iterator[tuple[int, int, int]]:
    """Give tensor-, pipeline- and data-parallel sizes that use every GPU."""
    for tp in _divisors(min(cluster.gpus, cluster.gpus_per_node)):
        if cluster.gpus % tp or options.tensor_parallel not in (None, tp):
            continue
        for pp in _divisors(cluster.gpus // tp):
            if pp <= options.model.num_layers and options.pipeline_parallel in (None, pp):
                yield tp, pp, cluster.gpus // tp // pp


def _schedules(options: PlanOptions, pp: int) -> list[tuple[Schedule, int | None]]:
    """Return schedules with stages per rank; one without a pipeline, where they mean nothing."""
    if pp == 1:
        return [_SCHEDULES[0]]
    return [one for one in _SCHEDULES if options.pipeline_schedule in (None, one[0])]


def _sharing(
    options: PlanOptions, cluster: Cluster, tp: int, pp: int, dp: int
) -> list[tuple[Zero, int | None]]:
    """Return zero and data_parallel_shard; all ranks, or those of one node where the data ranks lie in several."""
    if dp == 1:
        return [(1, None)] if options.zero in (None, 1) else []
    inside = cluster.gpus_per_node // tp
    by_node = 1 < inside < dp and dp % inside == 0
    found: list[tuple[Zero, int | None]] = []
    for zero in _ZEROS:
        if options.zero in (None, zero) and not (zero == 2 and pp > 1):
            found += [(zero, None), (zero, inside)] if zero and by_node else [(zero, None)]
    return found


def micro_batch_sizes(options: PlanOptions, workload: Workload, data_parallel: int) -> list[int]:
    """Return rows of a microbatch, largest first: divisors of what a data rank gets; empty when the batch cannot be dealt."""
    rows, rest = divmod(workload.global_batch_size, data_parallel)
    if rest or not rows:
        return []
    fixed = options.micro_batch_size
    sizes = range(min(rows, _MOST_ROWS), 0, -1) if fixed is None else [fixed]
    return [size for size in sizes if rows % size == 0]


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]
