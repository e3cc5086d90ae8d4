"""Bytes that one microbatch keeps for the backward, tensor by tensor, as the layers of this library save them.

Legend as in `planning.layout`; e bytes of an element of the computation. Formulas count what autograd saves, each storage once.
On CUDA attention may keep one more copy of its output, [S, R, H / t] per layer, when its kernel writes another order of dimensions.
"""

from dataclasses import dataclass

from megatron_bio.config.costs import block_parameters, table_rows
from megatron_bio.config.stages import Stage
from megatron_bio.planning.layout import Layout, Workload

_SOFTMAX, _KEEP = 4, 1
# Of a layer's forward with attention dropout: scores and probabilities in the dtype of the computation, the float32
# softmax, and the hash with two intermediate results, int32 each.
_HASH_WORKING = 12


@dataclass(frozen=True)
class BlockBytes:
    """One layer and one microbatch."""

    kept: int
    """Without recomputation."""
    selective: int
    """With selective recomputation."""
    full: int
    """With full recomputation: the layer's input."""
    working: int
    """Most that exists of one layer while it is computed forward or backward."""

    def of(self, recompute: str) -> int:
        """Return what a layer with this recomputation keeps."""
        return {"none": self.kept, "selective": self.selective, "full": self.full}[recompute]


@dataclass(frozen=True)
class HeadBytes:
    """Output layer and loss of one microbatch."""

    kept: int
    """Inputs, and float32 probabilities that the loss keeps."""
    logits: int
    """Most that exists of logits and what the loss makes of them at once, the kept probabilities included."""
    probabilities: int
    """The part of `logits` that is kept until the backward."""


def casts_weights(workload: Workload, layout: Layout) -> bool:
    """Return whether each forward of a block makes a copy of its weights in the dtype of the computation.

    So it is without FSDP, which gathers them in that dtype, and where it gathers float32 for a split backward.
    """
    return workload.element_bytes < 4 and (layout.shard == 1 or layout.parallel.splits_backward)


def block_bytes(workload: Workload, layout: Layout) -> BlockBytes:
    """Return what one layer keeps of one microbatch."""
    model, tp, e = workload.model, layout.parallel.tensor_parallel, workload.element_bytes
    whole = workload.sequence_length * layout.micro_batch_size
    own = whole // tp if layout.splits_sequence else whole
    residual, gathered = e * own * model.hidden_size, e * whole * model.hidden_size
    split, inner = gathered // tp, e * whole * model.ffn_size // tp
    norms = 4 * 2 * own * 2
    dropped = own * model.hidden_size if model.hidden_dropout else 0
    weights = block_weight_copies(workload, layout)
    core, core_working = _attention_core(workload, layout)
    # Keys and values keep the fused projection, of which a scaled query is a copy.
    projected = (4 if model.scale_attention_by_inverse_layer else 3) * split
    # A norm keeps its input, two products theirs; with norm_order post the first product's input, unless it had to be gathered,
    # is the layer's own, and both norms come behind the core.
    first_norm = residual + norms // 2
    before_core = gathered + projected + (first_norm if model.norm_order == "pre" else 0)
    selective = gathered + projected + first_norm + split + dropped + residual + norms // 2 + gathered + inner + dropped + weights
    kept = selective + core + inner
    # A recomputation that ends at the second matrix does not keep the copy of it.
    selective -= e * model.ffn_size * model.hidden_size // tp if weights else 0
    # The backward of the MLP has the gradients of both sides of the activation and of the stream.
    working = max(before_core + core_working + weights, kept + 2 * inner + 2 * gathered)
    return BlockBytes(kept=kept, selective=selective, full=residual, working=working)


def _attention_core(workload: Workload, layout: Layout) -> tuple[int, int]:
    """Return what lies between query, key, value and context: kept, and at most while it is computed."""
    model, e = workload.model, workload.element_bytes
    rows, length = layout.micro_batch_size, workload.sequence_length
    heads = model.num_attention_heads // layout.parallel.tensor_parallel
    scores, masks = rows * heads * length**2, rows * length**2
    if model.attention_dropout:
        return scores * (_SOFTMAX + _KEEP + e) + masks, scores * (_SOFTMAX + _HASH_WORKING + 2 * e) + masks
    # The kernel takes the boolean mask as numbers and keeps the logarithms of the sums.
    kept = masks * e + 4 * rows * heads * length
    return kept, kept


def block_weight_copies(workload: Workload, layout: Layout) -> int:
    """Return bytes of the copies of one layer's weights in the dtype of the computation; biases of products are not kept."""
    if not casts_weights(workload, layout):
        return 0
    return workload.element_bytes * sum(
        shape.elements // (1 if shape.split is None else layout.parallel.tensor_parallel)
        for shape in block_parameters(workload.model)
        if len(shape.shape) > 1 or shape.name.endswith("layernorm.weight")
    )


def embedding_bytes(workload: Workload, layout: Layout) -> int:
    """Return what the embeddings keep: ids, the input of a norm, and which elements dropout keeps."""
    whole = workload.sequence_length * layout.micro_batch_size
    own = whole // layout.parallel.tensor_parallel if layout.splits_sequence else whole
    dropped = own * workload.model.hidden_size if workload.model.hidden_dropout else 0
    norm = own * (workload.element_bytes * workload.model.hidden_size + 8)
    return 9 * whole + dropped + (norm if workload.model.norm_order == "post" else 0)


def head_bytes(workload: Workload, layout: Layout) -> HeadBytes:
    """Return what final layer norm, output layer and loss keep.

    The loss makes float32 probabilities of the logits; the backward makes as much again, and a copy in the dtype of the
    computation.
    """
    model, tp, e = workload.model, layout.parallel.tensor_parallel, workload.element_bytes
    rows, hidden = layout.micro_batch_size, model.hidden_size
    whole = workload.sequence_length * rows
    own = whole // tp if layout.splits_sequence else whole
    predictions, columns = workload.predictions * rows, table_rows(model) // tp
    bert = model.architecture == "bert"
    transforms = 1 + model.order_head if bert else 0
    inputs = e * predictions * hidden * (4 if bert else 1)
    copies = e * (columns * hidden + transforms * hidden**2) if e < 4 else 0
    probabilities = 4 * predictions * columns
    final_norm = own * (e * hidden + 8) if model.norm_order == "pre" else 0
    kept = final_norm + 17 * predictions + inputs + copies
    return HeadBytes(kept, probabilities * 2 + (e * predictions * columns if e < 4 else 0), probabilities)


def stage_bytes(workload: Workload, layout: Layout, stage: Stage, block: BlockBytes) -> int:
    """Return what one stage keeps of one microbatch, the head left out."""
    again = layout.recomputed_layers(stage)
    total = (len(stage.layers) - again) * block.kept + again * block.of(layout.parallel.recompute)
    if again:  # the mask, an argument of all that is computed twice
        total += layout.micro_batch_size * workload.sequence_length**2
    if stage.first:
        total += embedding_bytes(workload, layout)
    if not stage.first and _keeps_input(workload, layout, stage.layers[0]):  # a receive buffer, counted there
        total -= block.full
    if not stage.last:  # the schedule holds what it sent until the gradient comes back
        total += block.full
    return total


def _keeps_input(workload: Workload, layout: Layout, layer: int) -> bool:
    """Return whether a layer keeps the very tensor that it is given, and not only what it gathers of it."""
    parallel = layout.parallel
    again = parallel.recompute == "full" and layer % parallel.recompute_every == 0
    return workload.model.norm_order == "pre" or not layout.splits_sequence or again


def saved_bytes(workload: Workload, layout: Layout) -> int:
    """Return all that the whole model keeps of one microbatch between forward and backward; without a pipeline only."""
    assert layout.parallel.pipeline_parallel == 1, "a pipeline keeps several microbatches"
    (stage,) = layout.stages(workload, 0)
    head = head_bytes(workload, layout)
    return (
        stage_bytes(workload, layout, stage, block_bytes(workload, layout)) + head.kept + head.probabilities
    )
