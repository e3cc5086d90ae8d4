"""What one rank computes for a microbatch: floating point operations, bytes through its memory, kernels.

Legend as in `planning.layout`; e bytes of an element. Matrix products are counted in operations; everything between them is
limited by memory, so it is counted in bytes read and written, kernel by kernel as torch runs them one after another.
"""

from dataclasses import dataclass

from megatron_bio.config.costs import attention_core_flops, block_flops, head_flops, table_rows
from megatron_bio.config.stages import Stage
from megatron_bio.planning.layout import Layout, Workload

# Bytes per element, forward and backward. The hash of dropout is eleven integer kernels (`kernels/dropout.py`).
_HASH_TRAFFIC = 165
_KERNELS, _KERNELS_HIDDEN_DROPOUT, _KERNELS_ATTENTION_DROPOUT = 60, 50, 45


@dataclass(frozen=True)
class Work:
    """Sums over some layers of one microbatch and rank."""

    flops: float = 0.0
    traffic: float = 0.0
    """Bytes."""
    kernels: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Add up."""
        return Work(self.flops + other.flops, self.traffic + other.traffic, self.kernels + other.kernels)

    def times(self, count: float) -> "Work":
        """Repeat."""
        return Work(self.flops * count, self.traffic * count, self.kernels * count)


def stage_work(workload: Workload, layout: Layout, stage: Stage) -> Work:
    """Return forward, recomputation and backward of one microbatch in one stage, casts of weights included."""
    again = layout.recomputed_layers(stage)
    work = _block(workload, layout).times(len(stage.layers)) + _again(workload, layout).times(again)
    if stage.first:
        own = _own_positions(workload, layout) * workload.model.hidden_size
        work += Work(0.0, own * (20 * workload.element_bytes + _hidden_dropout(workload)), 40)
    return work + _head(workload, layout) if stage.last else work


def _own_positions(workload: Workload, layout: Layout) -> float:
    whole = workload.sequence_length * layout.micro_batch_size
    return whole / (layout.parallel.tensor_parallel if layout.splits_sequence else 1)


def _hidden_dropout(workload: Workload) -> float:
    """Bytes per element of one dropout: hash, scaling and choice; backward without the hash."""
    return _HASH_TRAFFIC + 2 + 8 * workload.element_bytes if workload.model.hidden_dropout else 0.0


def _forward_traffic(workload: Workload, layout: Layout) -> tuple[float, float, float]:
    """Return bytes of a layer's forward outside of matrix products: stream, MLP activation, attention core."""
    model, e, tp = workload.model, workload.element_bytes, layout.parallel.tensor_parallel
    whole = workload.sequence_length * layout.micro_batch_size
    # Two layer norms and two biases (read, write each), two residual sums (read twice, write).
    stream = 14 * e * model.hidden_size * _own_positions(workload, layout)
    activation = 2 * e * model.ffn_size * whole / tp
    core = (8 if model.scale_attention_by_inverse_layer else 6) * e * model.hidden_size * whole / tp
    return stream, activation, core + _scores(workload, layout) * _score_bytes(workload)[0]


def _scores(workload: Workload, layout: Layout) -> float:
    heads = workload.model.num_attention_heads / layout.parallel.tensor_parallel
    return layout.micro_batch_size * heads * workload.sequence_length**2


def _score_bytes(workload: Workload) -> tuple[float, float]:
    """Bytes per attention score, forward and backward; none where one kernel does it all."""
    if not workload.model.attention_dropout:
        return 0.0, 0.0
    e = workload.element_bytes
    return _HASH_TRAFFIC + 26 + 10 * e, 30 + 11 * e


def _block(workload: Workload, layout: Layout) -> Work:
    model, tp = workload.model, layout.parallel.tensor_parallel
    flops = 3 * block_flops(model, workload.sequence_length) * layout.micro_batch_size / tp
    stream, activation, core = _forward_traffic(workload, layout)
    forward, backward = _score_bytes(workload)
    scores = _scores(workload, layout)
    traffic = 3 * (stream + activation + core - scores * forward) + scores * (forward + backward)
    traffic += 2 * model.hidden_size * _own_positions(workload, layout) * _hidden_dropout(workload)
    kernels = (
        _KERNELS
        + _KERNELS_HIDDEN_DROPOUT * bool(model.hidden_dropout)
        + _KERNELS_ATTENTION_DROPOUT * bool(model.attention_dropout)
    )
    return Work(flops, traffic, kernels)


def _again(workload: Workload, layout: Layout) -> Work:
    """Return what one recomputed layer computes once more."""
    model, tp, rows = workload.model, layout.parallel.tensor_parallel, layout.micro_batch_size
    stream, activation, core = _forward_traffic(workload, layout)
    block = _block(workload, layout)
    if layout.parallel.recompute == "full":
        dropped = 2 * model.hidden_size * _own_positions(workload, layout) * _hidden_dropout(workload)
        return Work(block.flops / 3, stream + activation + core + dropped, block.kernels / 2)
    flops = attention_core_flops(model, workload.sequence_length) * rows / tp
    return Work(flops, activation + core, block.kernels / 4)


def _head(workload: Workload, layout: Layout) -> Work:
    """Output layer and loss: the logits pass through memory some twenty times, mostly as float32."""
    model, e, tp = workload.model, workload.element_bytes, layout.parallel.tensor_parallel
    positions = workload.predictions * layout.micro_batch_size
    flops = 3 * head_flops(model, positions) / tp
    logits = positions * table_rows(model) / tp
    return Work(flops, logits * (56 + 5 * e), 60)
