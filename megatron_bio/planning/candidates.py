"""All layouts that a cluster allows: every rank is used, tensor parallelism stays inside a node."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from megatron_bio.config.parallel import ParallelConfig, Recompute, Schedule
from megatron_bio.config.plan import PlanOptions
from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Workload

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


@dataclass(frozen=True)
class Split:
    """A way to deal ranks, before microbatches and recomputation are chosen."""

    options: tuple[tuple[str, Any], ...]

    def parallel(self, recompute: Recompute = "none", every: int = 1) -> ParallelConfig:
        """Return the configuration with a recomputation."""
        return ParallelConfig(**dict(self.options), recompute=recompute, recompute_every=every)


def splits(options: PlanOptions, cluster: Cluster) -> Iterator[Split]:
    """Give the ways to deal the ranks; those that training refuses whatever the model is are left out."""
    for tp in _divisors(min(cluster.gpus, cluster.gpus_per_node)):
        if cluster.gpus % tp or options.tensor_parallel not in (None, tp):
            continue
        for pp in _divisors(cluster.gpus // tp):
            if pp > options.model.num_layers or options.pipeline_parallel not in (None, pp):
                continue
            dp = cluster.gpus // tp // pp
            for schedule, stages in _SCHEDULES if pp > 1 else _SCHEDULES[:1]:
                if options.pipeline_schedule not in (None, schedule) and pp > 1:
                    continue
                for zero, shard in _sharing(options, cluster, tp, pp, dp):
                    yield Split(
                        (
                            ("tensor_parallel", tp),
                            ("sequence_parallel", options.row_length % tp == 0),
                            ("pipeline_parallel", pp),
                            ("pipeline_schedule", schedule),
                            ("stages_per_rank", stages),
                            ("data_parallel", dp),
                            ("data_parallel_shard", shard),
                            ("zero", zero),
                        )
                    )


def _sharing(
    options: PlanOptions, cluster: Cluster, tp: int, pp: int, dp: int
) -> Iterator[tuple[int, int | None]]:
    """Give zero and data_parallel_shard; all ranks, or those of one node where the data ranks lie in several."""
    if dp == 1:
        if options.zero in (None, 1):
            yield 1, None
        return
    for zero in (0, 1, 2, 3):
        if options.zero not in (None, zero) or (zero == 2 and pp > 1):
            continue
        yield zero, None
        inside = cluster.gpus_per_node // tp
        if zero and 1 < inside < dp and dp % inside == 0:
            yield zero, inside


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
