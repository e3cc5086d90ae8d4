"""What a rank does in the equality tests: train a tiny model for a few steps and return full tensors."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.kernels.dropout import sample_keys
from megatron_bio.models.build import build_model
from megatron_bio.models.transformer import Transformer
from megatron_bio.parallel.data_parallel import shard_data_parallel
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.parameters import initialize, set_from_full, tp_placement
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.step import accumulate_gradients, count_predictions, train_step
from tests.distributed.batches import ROWS, VOCABULARY, bert_batch, gpt_batch

SEED, LR, DECAY, MICRO_BATCH, STEPS = 7, 1e-3, 0.1, 2, 5


@dataclass(frozen=True)
class Layout:
    """One case of the matrix."""

    architecture: str
    tp: int
    dp: int
    sequence_parallel: bool
    dropout: float
    zero: int = 1

    @property
    def ranks(self) -> int:
        return self.tp * self.dp

    def __str__(self) -> str:
        name = f"{self.architecture}-tp{self.tp}-dp{self.dp}-zero{self.zero}"
        return f"{name}{'-sp' if self.sequence_parallel else ''}{'-dropout' if self.dropout else ''}"


def model_config(layout: Layout) -> ModelConfig:
    return ModelConfig(
        architecture=layout.architecture,
        num_layers=2,
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=16,
        vocab_size=VOCABULARY,
        hidden_dropout=layout.dropout,
        attention_dropout=layout.dropout,
    )


def perturb(full: dict[str, Tensor]) -> dict[str, Tensor]:
    """Move every weight, so that no bias is 0 and no layer norm is the identity."""
    g = torch.Generator().manual_seed(99)
    return {name: full[name] + 0.05 * torch.randn(full[name].shape, generator=g) for name in sorted(full)}


def whole(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).clone()


def build(layout: Layout, mesh: DeviceMesh) -> Transformer:
    model = build_model(
        model_config(layout), TensorParallel(mesh["tp"], layout.sequence_parallel, torch.float32)
    )
    initialize(model, SEED)
    values = perturb({name: whole(p) for name, p in model.named_parameters()})
    for name, p in model.named_parameters():
        set_from_full(p, values[name])
    shard_data_parallel(model, model.layers, mesh, zero=layout.zero, compute_dtype=torch.float32)
    return model


def microbatches(layout: Layout, mesh: DeviceMesh, step: int) -> list[dict[str, Tensor]]:
    """Return this rank's microbatches of a step, as the data package deals rows."""
    batch = bert_batch(step) if layout.architecture == "bert" else gpt_batch(step)
    batch["dropout_keys"] = sample_keys(SEED, batch.pop("sample_ids"))
    rank = mesh["dp_shard"].get_local_rank()
    rows = torch.arange(ROWS).view(-1, layout.dp, MICRO_BATCH)[:, rank]
    return [{name: field[chosen] for name, field in batch.items()} for chosen in rows]


def replica_digest(model: Transformer) -> str:
    """Return a digest of what this rank holds of parameters that every tp rank should hold alike."""
    digest = hashlib.sha256()
    for p in model.parameters():
        if not tp_placement(p).is_shard():
            digest.update(p.detach().to_local().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(layout: Layout) -> dict[str, Any]:
    """Return losses, the gradients of step 0, and the parameters after STEPS steps, all full."""
    mesh = build_mesh(MeshShape(tp=layout.tp, dp_shard=layout.dp), "cpu")
    model = build(layout, mesh)
    optimizer = build_optimizer(model, OptimizerConfig(lr=LR, weight_decay=DECAY))
    first = microbatches(layout, mesh, 0)
    model.train()
    accumulate_gradients(model, first, count_predictions(model, first, mesh), mesh, layout.zero)
    gradients = {name: whole(p.grad) for name, p in model.named_parameters()}
    losses, norms = [], []
    for step in range(STEPS):
        result = train_step(
            model,
            optimizer,
            microbatches(layout, mesh, step),
            mesh,
            zero=layout.zero,
            lr=LR,
            clip_grad=1.0,
        )
        losses.append((result.sums[: model.num_losses] / result.counts).sum().item())
        norms.append(result.gradient_norm)
    parameters = {name: whole(p) for name, p in model.named_parameters()}
    result = {"losses": losses, "norms": norms, "replicas": replica_digest(model)}
    if dist.get_rank() != 0:
        return result
    return {**result, "gradients": gradients, "parameters": parameters}
