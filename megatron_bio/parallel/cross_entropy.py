"""Cross entropy over logits whose vocabulary is split over tp, without gathering them.

Source: Megatron-LM, arXiv 1909.08053, section 3: the maximum, the sum of exponentials and the target's logit are reduced,
one number per position each.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.kernels.cross_entropy import put_gradient, statistics


class _VocabParallelCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, tp_mesh: DeviceMesh, vocab_size: int
    ) -> tuple[Tensor, Tensor]:
        group, columns = tp_mesh.get_group(), logits.shape[-1]
        first = tp_mesh.get_local_rank() * columns
        shifted = (
            logits.float()
        )  # a new tensor unless the logits are float32, hence no in-place step before the subtraction
        real = max(0, min(columns, vocab_size - first))
        top, best = _maximum(shifted, real, first, group)
        shifted = shifted - top[..., None]
        shifted[..., real:] = float("-inf")
        foreign = (targets < first) | (targets >= first + columns)
        index = (targets - first).masked_fill(foreign, 0)[..., None]
        target_logit = shifted.gather(-1, index).squeeze(-1).masked_fill(foreign, 0.0)
        exponentials = shifted.exp_()
        sums = torch.stack((exponentials.sum(-1), target_logit))
        if tp_mesh.size() > 1:
            dist.all_reduce(sums, group=group)
        probabilities = exponentials.div_(sums[0][..., None])
        ctx.save_for_backward(probabilities, index, foreign)
        ctx.dtype = logits.dtype
        ctx.mark_non_differentiable(best)
        return sums[0].log() - sums[1], best

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        probabilities, index, foreign = ctx.saved_tensors
        result = probabilities.scatter_add(-1, index, -(~foreign).to(probabilities.dtype)[..., None])
        return result.mul_(grad[..., None]).to(ctx.dtype), None, None, None


class _InPlace(torch.autograd.Function):
    """The same by the kernels of `kernels.cross_entropy`: the logits alone are kept, and the gradient is written over them."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, tp_mesh: DeviceMesh, vocab_size: int
    ) -> tuple[Tensor, Tensor]:
        group, columns = tp_mesh.get_group(), logits.shape[-1]
        first = tp_mesh.get_local_rank() * columns
        real = max(0, min(columns, vocab_size - first))
        logits = logits.contiguous()
        largest, best, total, target_logit = statistics(logits, targets, first, real)
        top, best = _over_ranks(largest, best, group)
        sums = torch.stack((total * (largest - top).exp(), target_logit))
        if tp_mesh.size() > 1:
            dist.all_reduce(sums, group=group)
        ctx.save_for_backward(logits, targets, top, sums[0])
        ctx.columns = first, real
        ctx.mark_non_differentiable(best)
        return sums[0].log() + top - sums[1], best

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        logits, targets, top, total = ctx.saved_tensors
        put_gradient(logits, targets, top, total, grad.contiguous(), *ctx.columns)
        return logits, None, None, None


def _maximum(logits: Tensor, real: int, first: int, group: dist.ProcessGroup) -> tuple[Tensor, Tensor]:
    """Return the largest logit over all ranks and its vocabulary id; of equals, the lowest id."""
    if real:
        top, best = logits[..., :real].max(-1)
        best = best + first
    else:
        top = logits.new_full(logits.shape[:-1], float("-inf"))
        best = torch.zeros(logits.shape[:-1], dtype=torch.int64, device=logits.device)
    return _over_ranks(top, best, group)


def _over_ranks(own: Tensor, best: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor]:
    """From each rank's largest logit and its id to those of all ranks."""
    if dist.get_world_size(group) == 1:
        return own, best
    top = own.clone()
    dist.all_reduce(top, op=dist.ReduceOp.MAX, group=group)
    best = torch.where(own == top, best, torch.iinfo(torch.int64).max)
    dist.all_reduce(best, op=dist.ReduceOp.MIN, group=group)
    return top, best


def vocab_parallel_cross_entropy(
    logits: Tensor, targets: Tensor, tp_mesh: DeviceMesh, vocab_size: int, *, in_place: bool = False
) -> tuple[Tensor, Tensor]:
    """Return float32 losses [...] in nats and the predicted ids [...].

    logits [..., V / tp] in any float dtype, targets int64 [...] in 0..vocab_size-1; columns from `vocab_size` on are padding of the
    table and take no part. With `in_place` the backward writes the gradient over the logits, which nobody may need any more; a
    second backward is then an error of torch.
    """
    function = _InPlace if in_place else _VocabParallelCrossEntropy
    return function.apply(logits, targets, tp_mesh, vocab_size)
