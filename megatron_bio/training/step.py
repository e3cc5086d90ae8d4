"""One optimizer step over the microbatches of a global batch."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.data_parallel import reshard, sum_replicated_gradients
from megatron_bio.parallel.gradients import (
    clip_gradients,
    global_gradient_norm,
    sum_sequence_partial_gradients,
)
from megatron_bio.parallel.tied import sum_tied_gradients
from megatron_bio.training.loss_scale import unscale_gradients
from megatron_bio.training.optimizer import set_learning_rate
from megatron_bio.training.passes import Microbatch, Passes


@dataclass(frozen=True)
class StepResult:
    """Sums over the global batch, the same on every rank."""

    sums: Tensor
    """float32 [metrics]: what `model.metric_names` names."""
    counts: Tensor
    """float32 [losses]: predictions behind each loss."""
    gradient_norm: float
    """Before clipping; 0 in an evaluation."""
    made: bool = True
    """Whether the weights were updated; the same on every rank, because it follows from the norm."""


def sum_over_data_parallel(values: Tensor, mesh: DeviceMesh) -> Tensor:
    """Sum in place over the ranks that see different rows."""
    return _sum_over(values, mesh, ("dp_shard", "dp_replicate"))


def _sum_over(values: Tensor, mesh: DeviceMesh, axes: tuple[str, ...]) -> Tensor:
    for axis in axes:
        if mesh[axis].size() > 1:
            dist.all_reduce(values, group=mesh[axis].get_group())
    return values


def _predictions(model: ModelParts, microbatches: Iterable[Microbatch]) -> Tensor:
    counts = torch.zeros(model.num_losses, device=model.device)
    for batch in microbatches:
        counts += torch.stack([batch[field].sum(dtype=torch.float32) for field in model.weight_fields])
    return counts


def count_predictions(model: ModelParts, microbatches: Sequence[Microbatch], mesh: DeviceMesh) -> Tensor:
    """Return the predictions behind each loss over all microbatches and data-parallel ranks: float32 [losses].

    float32 counts to 16.7 million exactly, more than a step has. The ranks of a pipeline all see the rows, so nothing is sent
    between them.
    """
    return sum_over_data_parallel(_predictions(model, microbatches), mesh)


def accumulate_gradients(
    passes: Passes,
    microbatches: Sequence[Microbatch],
    counts: Tensor,
    mesh: DeviceMesh,
    loss_scale: float = 1.0,
) -> Tensor:
    """Run forward and backward over the microbatches; return the summed metrics over the global batch.

    The gradients are those of the loss times `loss_scale`. Each loss is its sum divided by the predictions of the whole global
    batch, never a mean of means, so the gradient does not depend on how rows are dealt to microbatches and ranks.
    """
    model = passes.model
    totals = passes.forward_backward(microbatches, loss_scale / counts.clamp(min=1.0))
    sum_replicated_gradients(model, mesh)
    sum_tied_gradients(model.word_table, model.tied_copy, mesh["pp"])
    sum_sequence_partial_gradients(model, mesh["tp"])
    return _sum_over(totals, mesh, ("dp_shard", "dp_replicate", "pp"))


def train_step(
    passes: Passes,
    optimizer: torch.optim.Optimizer,
    microbatches: Sequence[Microbatch],
    mesh: DeviceMesh,
    *,
    lr: float,
    clip_grad: float,
    loss_scale: float = 1.0,
) -> StepResult:
    """Update the model once, or leave it and the optimizer as they are when the gradient is not finite."""
    model = passes.model
    model.train()
    optimizer.zero_grad(set_to_none=True)
    counts = count_predictions(model, microbatches, mesh)
    sums = accumulate_gradients(passes, microbatches, counts, mesh, loss_scale)
    unscale_gradients(model, loss_scale)
    norm = global_gradient_norm(model, mesh, model.tied_copy)
    gradient_norm = norm.item()
    made = math.isfinite(gradient_norm)
    if made:
        if clip_grad:
            clip_gradients(model, norm, clip_grad)
        set_learning_rate(optimizer, lr)
        optimizer.step()
    return StepResult(sums, counts, gradient_norm, made)


@torch.no_grad()
def evaluate(passes: Passes, microbatches: Iterable[Microbatch], mesh: DeviceMesh) -> StepResult:
    """Return the sums over the evaluation rows, dropout off; every rank must have the same number of microbatches."""
    model = passes.model
    model.eval()
    counts = torch.zeros(model.num_losses, device=model.device)

    def counted() -> Iterator[Microbatch]:
        for batch in microbatches:
            counts.add_(_predictions(model, [batch]))
            yield batch

    sums = passes.forward(counted())
    reshard(model)
    sum_over_data_parallel(counts, mesh)
    return StepResult(_sum_over(sums, mesh, ("dp_shard", "dp_replicate", "pp")), counts, 0.0)
