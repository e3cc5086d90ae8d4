"""Seconds that messages take, as far as nothing can be computed meanwhile.

Legend as in `planning.layout`; d ranks share one copy of the state, e bytes of an element. A ring moves (n - 1) / n of a
gathered or scattered tensor over each rank's link, an all-reduce twice that.
"""

from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Layout, Workload
from megatron_bio.planning.memory import Elements

LINK_SHARE = 0.8
"""Part of a link's speed that large messages reach; taken from practice, not fitted."""


def _seconds(volume: float, cluster: Cluster, size: int, stride: int) -> float:
    """Return the time of a ring that gathers or scatters `volume` bytes over `size` ranks."""
    if size == 1:
        return 0.0
    return volume * (size - 1) / size / (cluster.link(size, stride) * 1e9 * LINK_SHARE)


def tensor_parallel_seconds(
    workload: Workload, layout: Layout, cluster: Cluster, layers: int, recomputed: int
) -> float:
    """Return the time of one microbatch through `layers` layers: eight rings of S R H elements each, nothing overlaps.

    Full recomputation repeats the forward's four but for the last sum, which no gradient needs.
    """
    whole = workload.sequence_length * layout.micro_batch_size
    ring = workload.element_bytes * whole * workload.model.hidden_size
    again = 3 if layout.splits_sequence else 2  # an all-reduce is two rings
    repeated = again * recomputed if layout.parallel.recompute == "full" else 0
    return _seconds((8 * layers + repeated) * ring, cluster, layout.parallel.tensor_parallel, 1)


def pipeline_seconds(workload: Workload, layout: Layout, cluster: Cluster) -> float:
    """Return the time of one microbatch's sends to the next stages and back, for one rank."""
    parallel = layout.parallel
    if parallel.pipeline_parallel == 1:
        return 0.0
    whole = workload.sequence_length * layout.micro_batch_size
    own = whole / (parallel.tensor_parallel if layout.splits_sequence else 1)
    hidden = workload.element_bytes * own * workload.model.hidden_size
    stride = parallel.tensor_parallel * layout.data_parallel
    inside = 2 * stride <= cluster.gpus_per_node
    speed = cluster.intra_node if inside else cluster.inter_node
    return 2 * parallel.stages_on_rank * hidden / (speed * 1e9 * LINK_SHARE)


def data_parallel_seconds(
    workload: Workload, layout: Layout, cluster: Cluster, elements: Elements
) -> tuple[float, float]:
    """Return the time of a step's messages that run beside computation, and of those that wait for the last backward.

    FSDP gathers the weights (blocks in the dtype of the computation, the root in float32) once per step, with zero 3 twice per
    microbatch, in a pipeline once per microbatch and once more; it reduces float32 gradients once per step, with zero 2 and 3
    once per microbatch except in a pipeline. zero 0 reduces when all is computed.
    """
    parallel, microbatches = layout.parallel, layout.microbatches(workload)
    tp, shard = parallel.tensor_parallel, layout.shard
    copies = layout.data_parallel // shard
    if shard == 1:
        return 0.0, _seconds(2 * 4 * elements.whole, cluster, copies, tp)
    e = 4 if layout.parallel.splits_backward else workload.element_bytes
    pipeline = parallel.pipeline_parallel > 1
    gathers = 1
    if parallel.zero == 3:
        gathers = microbatches + 1 if pipeline else 2 * microbatches
    reductions = microbatches if parallel.zero > 1 and not pipeline else 1
    gathered = (e * elements.blocks + 4 * elements.root) * gathers
    volume = gathered + 4 * elements.whole * reductions
    beside = _seconds(volume, cluster, shard, tp)
    beside += _seconds(2 * 4 * elements.sharded * reductions, cluster, copies, tp * shard)
    return beside, 0.0
