"""One optimizer step over the microbatches of a global batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.errors import UserError
from megatron_bio.models.transformer import Transformer
from megatron_bio.parallel.data_parallel import reshard, set_gradient_reduction
from megatron_bio.parallel.gradients import (
    clip_gradients,
    global_gradient_norm,
    sum_sequence_partial_gradients,
)
from megatron_bio.training.optimizer import set_learning_rate

Microbatch = dict[str, Tensor]


@dataclass(frozen=True)
class StepResult:
    """Sums over the global batch, the same on every rank."""

    sums: Tensor
    """float32 [metrics]: what `model.metric_names` names."""
    counts: Tensor
    """float32 [losses]: predictions behind each loss."""
    gradient_norm: float
    """Before clipping; 0 in an evaluation."""


def sum_over_data_parallel(values: Tensor, mesh: DeviceMesh) -> Tensor:
    """Sum in place over the ranks that see different rows."""
    if mesh["dp_shard"].size() > 1:
        dist.all_reduce(values, group=mesh["dp_shard"].get_group())
    return values


def count_predictions(model: Transformer, microbatches: Sequence[Microbatch], mesh: DeviceMesh) -> Tensor:
    """Return the predictions behind each loss over all microbatches and data-parallel ranks: float32 [losses].

    float32 counts to 16.7 million exactly, more than a step has.
    """
    counts = torch.stack(
        [
            torch.stack([batch[field].sum(dtype=torch.float32) for batch in microbatches]).sum()
            for field in model.weight_fields
        ]
    )
    return sum_over_data_parallel(counts, mesh)


def accumulate_gradients(
    model: Transformer, microbatches: Sequence[Microbatch], counts: Tensor, mesh: DeviceMesh, zero: int
) -> Tensor:
    """Run forward and backward over the microbatches; return the summed metrics over the global batch.

    Each loss is its sum divided by the predictions of the whole global batch, never a mean of means, so the gradient does
    not depend on how rows are dealt to microbatches and ranks.
    """
    totals = torch.zeros(len(model.metric_names), device=counts.device)
    for index, batch in enumerate(microbatches):
        set_gradient_reduction(model, zero=zero, last_microbatch=index == len(microbatches) - 1)
        sums = model(**batch)
        (sums[: model.num_losses] / counts.clamp(min=1.0)).sum().backward()
        totals += sums.detach()
    sum_sequence_partial_gradients(model, mesh["tp"])
    return sum_over_data_parallel(totals, mesh)


def train_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    microbatches: Sequence[Microbatch],
    mesh: DeviceMesh,
    *,
    zero: int,
    lr: float,
    clip_grad: float,
) -> StepResult:
    """Update the model once. Raises `UserError` instead of updating when the gradient is not finite."""
    model.train()
    optimizer.zero_grad(set_to_none=True)
    counts = count_predictions(model, microbatches, mesh)
    sums = accumulate_gradients(model, microbatches, counts, mesh, zero)
    norm = global_gradient_norm(model, mesh)
    if not torch.isfinite(norm):
        raise UserError(
            f"The gradient norm is {norm.item()}, so the step was not made. Lower optimizer.lr, lengthen the warmup, or use "
            f"training.precision fp32; the run continues from its last checkpoint."
        )
    if clip_grad:
        clip_gradients(model, norm, clip_grad)
    set_learning_rate(optimizer, lr)
    optimizer.step()
    return StepResult(sums, counts, norm.item())


@torch.no_grad()
def evaluate(model: Transformer, microbatches: Iterable[Microbatch], mesh: DeviceMesh) -> StepResult:
    """Return the sums over the evaluation rows, dropout off; every rank must have the same number of microbatches."""
    model.eval()
    totals = torch.zeros(len(model.metric_names) + model.num_losses, device=next(model.parameters()).device)
    for batch in microbatches:
        weights = torch.stack([batch[field].sum(dtype=torch.float32) for field in model.weight_fields])
        totals += torch.cat((model(**batch), weights))
    reshard(model)
    sum_over_data_parallel(totals, mesh)
    metrics = len(model.metric_names)
    return StepResult(totals[:metrics], totals[metrics:], 0.0)
