"""Seconds that a rank waits for messages.

Legend as in `planning.layout`; d ranks share one copy of the state, e bytes of an element. A ring moves (n - 1) / n of a
gathered or scattered tensor over each rank's link, an all-reduce twice that.
"""

from megatron_bio.planning.cluster import Cluster
from megatron_bio.planning.layout import Layout, Workload
from megatron_bio.planning.memory import Elements

LINK_SHARE = 0.8
"""Part of a link's speed that large messages reach; taken from practice, not fitted."""
FORWARD_PART = 1 / 3
"""Part of a microbatch's computation that is forward; with recomputation it is a little less."""


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
    workload: Workload, layout: Layout, cluster: Cluster, elements: Elements, compute: float
) -> float:
    """Return the time in which a step waits for data-parallel messages; `compute` is that of one microbatch, in seconds.

    FSDP gathers the weights (blocks in the dtype of the computation, the root in float32) beside a forward and reduces float32
    gradients beside a backward. zero 1 gathers beside the first forward of a step and reduces beside the last backward, however
    many microbatches lie between; zero 2 reduces beside each backward; zero 3 also gathers beside each forward and each
    backward. A pipeline with zero 3 gathers beside each forward and one backward, and reduces beside the last. zero 0 reduces
    when all is computed.
    """
    parallel, microbatches = layout.parallel, layout.microbatches(workload)
    tp, shard = parallel.tensor_parallel, layout.shard
    copies = layout.data_parallel // shard
    if shard == 1:
        return _seconds(2 * 4 * elements.whole, cluster, copies, tp)
    e = 4 if parallel.splits_backward else workload.element_bytes
    gather = _seconds(e * elements.blocks + 4 * elements.root, cluster, shard, tp)
    reduction = _seconds(4 * elements.whole, cluster, shard, tp)
    reduction += _seconds(2 * 4 * elements.sharded, cluster, copies, tp * shard)
    units = max(1, elements.blocks // elements.largest_block) + 1
    forward, backward = compute * FORWARD_PART, compute * (1 - FORWARD_PART)

    def waited(seconds: float, beside: float) -> float:
        # The first unit's gather and the last one's reduction have nothing to hide behind.
        return max(seconds / units, seconds - beside)

    if parallel.zero < 3:
        reductions = microbatches if parallel.zero == 2 else 1
        return waited(gather, forward) + reductions * waited(reduction, backward)
    backwards = 1 if parallel.pipeline_parallel > 1 else microbatches
    return microbatches * waited(gather, forward) + backwards * waited(gather + reduction, backward)
