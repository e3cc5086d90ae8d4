"""What our model computes of a checkpoint, layer by layer, with one submodule's parameters in memory."""

import torch

from megatron_bio.convert.expected import empty_model
from megatron_bio.convert.probe import (
    EMBEDDINGS,
    FINAL_LAYERNORM,
    LOGITS,
    ORDER_LOGITS,
    Probe,
    Trace,
    layer_name,
)
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.convert.stored_values import RoundedTensors
from megatron_bio.convert.streamed_module import captured_outputs, streamed_parameters
from megatron_bio.models.bert import Bert

_TIED = ("embeddings.word_embeddings.weight",)
"""Used by the heads too."""


@torch.no_grad()
def trace(checkpoint: Checkpoint, probe: Probe, dtype: torch.dtype, stored: torch.dtype) -> Trace:
    """Compute in `dtype` with the weights rounded to `stored`."""
    model = empty_model(checkpoint.model, dtype)
    weights = RoundedTensors(checkpoint.weights, stored)
    names = [EMBEDDINGS, *(layer_name(layer) for layer in range(checkpoint.model.num_layers))]
    if checkpoint.model.norm_order == "pre":
        names.append(FINAL_LAYERNORM)
    tokens = (probe.tokens, probe.segment_ids, probe.position_ids)
    with (
        streamed_parameters(model, weights.read, _TIED),
        captured_outputs(
            model, {name: name for name in names}, lambda hidden: hidden.transpose(0, 1)[probe.real]
        ) as found,
    ):
        if isinstance(model, Bert):
            logits, order = model.logits(*tokens, probe.tokentype_ids)
        else:
            logits, order = model.logits(*tokens), None
    found[LOGITS] = logits[probe.real][:, : model.vocab_size]
    if order is not None and checkpoint.model.order_head:
        found[ORDER_LOGITS] = order[:, 0]
    return found
