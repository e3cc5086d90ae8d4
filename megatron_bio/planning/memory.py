"""Memory of one GPU by part, at the moment of a step when most is in use.

Two moments compete: the start of the last microbatch's backward, when all activations exist, and the optimizer, which makes
temporary tensors of its own. Legend as in `planning.layout`; d is the number of ranks that share one copy of the state.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from megatron_bio.config.costs import (
    ParameterShape,
    block_parameters,
    embedding_parameters,
    head_parameters,
)
from megatron_bio.config.stages import Stage
from megatron_bio.planning.activations import BlockBytes, block_bytes, head_bytes, stage_bytes
from megatron_bio.planning.layout import Layout, Workload

_MASTER, _MOMENTS = 4, 8
BUCKET_BYTES = 2 * 128 * 2**20
"""Copies of gradients that are summed over ranks outside of FSDP: a float32 bucket of 32 Mi elements and its parts."""


@dataclass(frozen=True)
class Elements:
    """Parameter elements of one rank; blocks are FSDP units of their own, the rest of a stage (the root) is another."""

    blocks: int
    root: int
    largest_block: int
    sharded: int
    """What is left of all of them when d ranks share them, with FSDP's padding."""

    @property
    def whole(self) -> int:
        """All elements before sharing."""
        return self.blocks + self.root


@dataclass(frozen=True)
class Memory:
    """Bytes of one GPU."""

    weights: int
    """float32 weights that stay between steps: the rank's shard."""
    gradients: int
    """float32 gradients: the shard, or whole ones where they are kept whole until the last microbatch."""
    optimizer: int
    """Both moments of AdamW, float32."""
    activations: int
    """What the backward needs, of all microbatches in flight."""
    logits: int
    """Output layer and loss."""
    buffers: int
    """Gathered weights, messages and temporary tensors, as far as they add to the peak."""

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers

    def by_part(self) -> dict[str, int]:
        """Return the parts by name."""
        return dict(vars(self))


def stage_parameters(workload: Workload, stage: Stage) -> list[ParameterShape]:
    """Return the root parameters of a stage; the last stage holds the tied word table too."""
    model, shapes = workload.model, []
    if stage.first:
        shapes += list(embedding_parameters(model))
    elif stage.last:
        shapes += list(embedding_parameters(model))[:1]
    return shapes + (list(head_parameters(model)) if stage.last else [])


def rank_elements(workload: Workload, layout: Layout, pipeline_rank: int) -> Elements:
    """Count the parameter elements that a rank of the pipeline holds."""
    block = list(block_parameters(workload.model))
    tp, shard = layout.parallel.tensor_parallel, layout.shard
    one, one_shard = _whole(block, tp), _shard(block, tp, shard)
    blocks = root = sharded = 0
    for stage in layout.stages(workload, pipeline_rank):
        shapes = stage_parameters(workload, stage)
        blocks += len(stage.layers) * one
        root += _whole(shapes, tp)
        sharded += len(stage.layers) * one_shard + _shard(shapes, tp, shard)
    return Elements(blocks, root, one, sharded)


def _whole(shapes: Iterable[ParameterShape], tp: int) -> int:
    return sum(shape.elements // (1 if shape.split is None else tp) for shape in shapes)


def _shard(shapes: Iterable[ParameterShape], tp: int, shard: int) -> int:
    """FSDP cuts the first dimension into `shard` parts of ceil(n / shard) rows and pads the last ones."""
    total = 0
    for shape in shapes:
        first, *rest = shape.local(tp)
        rows = -(-first // shard)
        for size in rest:
            rows *= size
        total += rows
    return total


def rank_memory(workload: Workload, layout: Layout, pipeline_rank: int) -> Memory:
    """Return the memory of the GPUs at one place of the pipeline."""
    elements = rank_elements(workload, layout, pipeline_rank)
    weights, shards = _MASTER * elements.sharded, _MASTER * elements.sharded
    moments = _MOMENTS * elements.sharded
    gradients = _MASTER * elements.whole if keeps_whole_gradients(workload, layout) else shards
    activations, logits, working = _activations(workload, layout, pipeline_rank)
    buffers = _gathered(workload, layout, elements) + _pipeline_buffers(workload, layout, pipeline_rank)
    training = weights + gradients + moments + activations + max(logits, working) + buffers
    stepping = weights + shards + moments + _stepping(workload, layout, elements)
    peak = max(training, stepping)
    parts = weights + gradients + moments + activations + logits
    return Memory(weights, gradients, moments, activations, logits, peak - parts)


def peak_memory(workload: Workload, layout: Layout) -> Memory:
    """Return the memory of the GPU that needs most."""
    ranks = layout.distinct_ranks(workload)
    return max((rank_memory(workload, layout, rank) for rank in ranks), key=lambda memory: memory.total)


def keeps_whole_gradients(workload: Workload, layout: Layout) -> bool:
    """Return whether gradients exist whole at the last microbatch: not shared, zero 1, or a pipeline of any zero."""
    if layout.shard == 1:
        return True
    several = layout.microbatches(workload) > 1
    return several and (layout.parallel.zero == 1 or layout.parallel.pipeline_parallel > 1)


def _activations(workload: Workload, layout: Layout, pipeline_rank: int) -> tuple[int, int, int]:
    """Return what is kept, the most of output layer and loss, and what one layer adds to the kept while it is computed."""
    block = block_bytes(workload, layout)
    stages = layout.stages(workload, pipeline_rank)
    of_stages = [stage_bytes(workload, layout, stage, block) for stage in stages]
    kept = sum(of_stages) * layout.in_flight(workload, pipeline_rank) // len(stages)
    logits = 0
    if any(stage.last for stage in stages):
        head = head_bytes(workload, layout)
        kept, logits = kept + head.kept, head.logits
    return kept, logits, _working(layout, block)


def _working(layout: Layout, block: BlockBytes) -> int:
    every_layer = layout.parallel.recompute != "none" and layout.parallel.recompute_every == 1
    kept = block.of(layout.parallel.recompute) if every_layer else block.kept
    return max(0, block.working - kept)


def _gathered(workload: Workload, layout: Layout, elements: Elements) -> int:
    """Return weights that FSDP holds whole, and its messages: one more unit to gather, two whose gradients are reduced.

    zero 1 and 2, and stages of a pipeline, keep all weights gathered; 3 keeps the layer at work and the next. The root (embeddings,
    heads) is float32.
    """
    if layout.shard == 1:
        return 0
    e = 4 if layout.parallel.splits_backward else workload.element_bytes
    block, root = e * elements.largest_block, 4 * elements.root
    keeps_all = layout.parallel.zero < 3 or layout.parallel.pipeline_parallel > 1
    held = (e * elements.blocks if keeps_all else 2 * block) + root
    return held + max(block, 2 * (4 + e) * elements.largest_block, root)


def _pipeline_buffers(workload: Workload, layout: Layout, pipeline_rank: int) -> int:
    """Return what torch's pipeline keeps for every microbatch of a step, done or not.

    A stage has buffers to receive each hidden state and each gradient, and the hidden states' own gradients stay until the
    next step.
    """
    if layout.parallel.pipeline_parallel == 1:
        return 0
    hidden = block_bytes(workload, layout).full
    ends = sum(2 * (not stage.first) + (not stage.last) for stage in layout.stages(workload, pipeline_rank))
    return ends * layout.microbatches(workload) * hidden


def _stepping(workload: Workload, layout: Layout, elements: Elements) -> int:
    """Return temporary bytes between the last backward and the next step: bucket of gradients, the root of the second moment."""
    outside = layout.data_parallel > layout.shard == 1 or layout.splits_sequence
    bucket = min(BUCKET_BYTES, 8 * elements.sharded) if outside else 0
    return max(bucket, 0 if workload.fused_optimizer else 4 * elements.sharded)
