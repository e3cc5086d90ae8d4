"""Seconds of an optimizer step, from operations, bytes and links.

Two constants are fitted (`docs/planning.md` says on what): the part of the peak that matrix products reach on a GPU of 312 TFLOP/s,
and how it falls with the peak. The others are plain assumptions, named here.
"""

from dataclasses import dataclass

from megatron_bio.config.costs import training_flops_per_row
from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.communication import (
    data_parallel_seconds,
    pipeline_seconds,
    tensor_parallel_seconds,
)
from megatron_bio.planning.layout import Layout, Workload
from megatron_bio.planning.memory import rank_elements
from megatron_bio.planning.operations import Work, stage_work

REFERENCE_PEAK = 312.0
"""TFLOP/s at which MATMUL_SHARE holds: an A100 in bf16."""
MATMUL_SHARE = 0.744
"""Fitted: part of the peak that the matrix products of a model reach at REFERENCE_PEAK."""
PEAK_EXPONENT = 0.155
"""Fitted: that part falls as (peak / REFERENCE_PEAK) to the minus this; larger tensor cores are harder to feed."""
LARGEST_SHARE = 0.85
"""Assumed: no GPU reaches more, however small its peak."""
MEMORY_SHARE = 0.8
"""Assumed: part of the memory's bandwidth that plain kernels reach."""
LAUNCH_SECONDS = 5e-6
"""Assumed: time in which Python and torch start one kernel; a rank is never faster than its kernels can be started."""
SPLIT_BACKWARD = 1.05
"""Assumed: what a backward costs that computes gradients of inputs and of weights apart."""
_UPDATE_BYTES, _FUSED_UPDATE_BYTES, _CAST_BYTES = 100, 48, 24


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step, by what they are spent on, and what follows from them."""

    compute: float
    """Matrix products and kernels, recomputation included."""
    tensor_parallel: float
    pipeline: float
    """Sends between stages."""
    bubble: float
    """Waiting for the first microbatch to arrive and the last to leave."""
    data_parallel: float
    """Messages that computation does not hide."""
    optimizer: float

    @property
    def total(self) -> float:
        """The step."""
        parts = (self.compute, self.tensor_parallel, self.pipeline, self.bubble)
        return sum(parts) + self.data_parallel + self.optimizer


def matmul_share(peak: float) -> float:
    """Return the part of a peak in TFLOP/s that matrix products reach."""
    share: float = MATMUL_SHARE * (peak / REFERENCE_PEAK) ** -PEAK_EXPONENT
    return min(LARGEST_SHARE, share)


def step_time(workload: Workload, layout: Layout, cluster: Cluster) -> StepTime:
    """Return the time of one optimizer step; the slowest rank of the pipeline sets the pace."""
    microbatches = layout.microbatches(workload)
    ranks = layout.distinct_ranks(workload)
    computes, sends, waits = [], [], []
    for rank in ranks:
        computes.append(_microbatch_seconds(workload, layout, cluster, rank))
        stages = layout.stages(workload, rank)
        layers = sum(len(stage.layers) for stage in stages)
        recomputed = sum(layout.recomputed_layers(stage) for stage in stages)
        sends.append(tensor_parallel_seconds(workload, layout, cluster, layers, recomputed))
        waits.append(computes[-1] + sends[-1])
    slowest = waits.index(max(waits))
    compute, tensor = computes[slowest] * microbatches, sends[slowest] * microbatches
    elements = rank_elements(workload, layout, ranks[slowest])
    update = _FUSED_UPDATE_BYTES if workload.fused_optimizer else _UPDATE_BYTES
    return StepTime(
        compute=compute,
        tensor_parallel=tensor,
        pipeline=pipeline_seconds(workload, layout, cluster) * microbatches,
        bubble=bubble_microbatches(workload, layout) * waits[slowest],
        data_parallel=data_parallel_seconds(workload, layout, cluster, elements, computes[slowest]),
        optimizer=update * elements.sharded / (cluster.bandwidth * 1e9 * MEMORY_SHARE),
    )


def _microbatch_seconds(workload: Workload, layout: Layout, cluster: Cluster, rank: int) -> float:
    work = Work()
    for stage in layout.stages(workload, rank):
        work += stage_work(workload, layout, stage)
    cast = _CAST_BYTES * rank_elements(workload, layout, rank).whole
    seconds = work.flops / (cluster.peak * 1e12 * matmul_share(cluster.peak))
    seconds += (work.traffic + cast) / (cluster.bandwidth * 1e9 * MEMORY_SHARE)
    seconds = max(seconds, work.kernels * LAUNCH_SECONDS)
    return seconds * (SPLIT_BACKWARD if layout.parallel.splits_backward else 1.0)


def bubble_microbatches(workload: Workload, layout: Layout) -> float:
    """Return how long a rank waits in a step, in times of one microbatch.

    1f1b: p - 1. interleaved: (p - 1) / v with v stages per rank. zero_bubble: a third of that, because weight gradients, a third
    of the work, fill the gaps twice. zbv: none from 2 p microbatches on, below a third of 1f1b's.
    """
    parallel = layout.parallel
    waiting = parallel.pipeline_parallel - 1.0
    if parallel.pipeline_schedule == "1f1b":
        return waiting
    if parallel.pipeline_schedule == "zbv":
        return 0.0 if layout.microbatches(workload) >= 2 * parallel.pipeline_parallel else waiting / 3
    thirds = 3 if parallel.pipeline_schedule == "zero_bubble" else 1
    return waiting / parallel.stages_on_rank / thirds


def flops_utilisation(workload: Workload, layout: Layout, cluster: Cluster, seconds: float) -> float:
    """Return MFU: operations of the model without recomputation over what the GPUs' dense peak allows in that time."""
    row = training_flops_per_row(workload.model, workload.sequence_length, workload.predictions)
    return row * workload.global_batch_size / (layout.ranks * cluster.peak * 1e12 * seconds)
