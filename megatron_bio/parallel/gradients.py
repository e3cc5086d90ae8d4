"""What happens to gradients between the last backward and the optimizer: the sum over tp, the norm, clipping."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.parallel.buckets import all_reduce_in_buckets, local_gradient, local_gradients
from megatron_bio.parallel.layers import ParallelLayer
from megatron_bio.parallel.parameters import tp_placement


def sum_sequence_partial_gradients(model: nn.Module, tp_mesh: DeviceMesh) -> None:
    """Sum over tp the gradients of parameters that saw only a slice of the sequence: one float32 bucket per step.

    Call it after the data-parallel reduction and before clipping (Korthikanti et al., arXiv 2205.05198, section 4.2.2).
    """
    partial = [
        getattr(layer, name)
        for layer in model.modules()
        if isinstance(layer, ParallelLayer)
        for name in layer.sequence_partial
    ]
    all_reduce_in_buckets(local_gradients(partial), tp_mesh.get_group())


def global_gradient_norm(model: nn.Module, mesh: DeviceMesh, tied_copy: nn.Parameter | None) -> Tensor:
    """Return the float32 2-norm over all gradients of the model, the same bits on every rank.

    Each element counts once: a gradient replicated over tp is counted by tp rank 0, and `tied_copy` is another stage's parameter.
    """
    first_of_tp = mesh["tp"].get_local_rank() == 0
    squares = [
        local_gradient(parameter).float().pow(2).sum()
        for parameter in model.parameters()
        if parameter.grad is not None
        and parameter is not tied_copy
        and (first_of_tp or tp_placement(parameter).is_shard())
    ]
    device = next(model.parameters()).device
    total = torch.stack(squares).sum() if squares else torch.zeros((), device=device)
    for axis in ("tp", "dp_shard", "pp"):
        if mesh[axis].size() > 1:
            dist.all_reduce(total, group=mesh[axis].get_group())
    return total.sqrt()


def clip_gradients(model: nn.Module, norm: Tensor, largest: float) -> None:
    """Scale all gradients by min(1, largest / norm)."""
    scale = (largest / (norm + 1e-6)).clamp(max=1.0)
    for parameter in model.parameters():
        if parameter.grad is not None:
            local_gradient(parameter).mul_(scale)
