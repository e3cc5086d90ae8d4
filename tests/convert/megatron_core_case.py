"""What ranks do with Megatron Core and a torch_dist folder: save a model of its own, load what we wrote."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from tests.models.megatron_core_models import batch
from tests.references import megatron_core as peer


def saved(
    config: ModelConfig, folder: Path, tp: int, pp: int, rows: int, common: dict, metadata: dict | None
) -> tuple[Tensor, Tensor | None] | None:
    """Save noise on every parameter of Megatron Core's model; return its logits where one rank has all of it."""
    with peer.megatron_core(tp, pp):
        model = peer.build(config, rows, tp, pp)
        torch.manual_seed(7 + dist.get_rank() % tp)
        with torch.no_grad():
            for value in model.parameters():
                value.add_(torch.randn_like(value), alpha=0.1)
            _same_on_all(model, tp)
        peer.save(model, folder, common, metadata)
        if pp > 1:
            return None
        with torch.no_grad():
            return peer.outputs(model, *batch(config))


def loaded(
    config: ModelConfig, folder: Path, tp: int, rows: int
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor | None], dict]:
    """Load the folder into Megatron Core's model; return this rank's parameters, the logits, and common.pt."""
    with peer.megatron_core(tp):
        model = peer.build(config, rows, tp)
        with torch.no_grad():
            for value in model.parameters():
                value.fill_(torch.nan)
        common = peer.load(model, folder)
        with torch.no_grad():
            logits = peer.outputs(model, *batch(config))
        return {name: value.detach() for name, value in model.named_parameters()}, logits, common


def _same_on_all(model: torch.nn.Module, tp: int) -> None:
    """Parameters that are not cut, and the tied table, are the same on all ranks that have them."""
    if dist.get_world_size() == 1:
        return
    from megatron.core import parallel_state

    tensor_group = parallel_state.get_tensor_model_parallel_group()
    for value in model.parameters():
        if tp > 1 and not getattr(value, "tensor_model_parallel", False):
            dist.broadcast(value, parallel_state.get_tensor_model_parallel_src_rank(), group=tensor_group)
    if (
        parallel_state.get_pipeline_model_parallel_world_size() > 1
        and parallel_state.is_rank_in_embedding_group()
    ):
        dist.all_reduce(model.shared_embedding_or_output_weight(), group=parallel_state.get_embedding_group())
