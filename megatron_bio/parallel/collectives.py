"""Tensor-parallel collectives as conjugate pairs: the backward of each is the forward of its partner.

    copy      y = x on every rank                 backward: all-reduce          (partner: reduce)
    reduce    y = sum over ranks of x             backward: copy                (partner: copy)
    gather    y = all parts along dim 0           backward: reduce-scatter      (partner: reduce_scatter)
    reduce_scatter  y = own part of the sum       backward: gather              (partner: gather)
    split     y = own part of a replicated x      backward: all-gather          (partner: join)
    join      y = all parts, then used alike by every rank; backward: split     (partner: split)

`gather` and `join` differ in what follows: after `gather` each rank does another part of the work, so the gradients are summed;
after `join` every rank does the same work and has the whole gradient already.
Source: Megatron-LM (Shoeybi et al., arXiv 1909.08053; Korthikanti et al., arXiv 2205.05198).

All of them take the tp group and do nothing in a group of one rank. Sequences lie along dim 0. This is the only file that
calls torch.distributed for activations.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

# torch 2.13 deprecates the names that 2.11 and 2.12 have only.
_all_gather_single = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter_single = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def _all_reduce(x: Tensor, group: ProcessGroup) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x, group=group)
    return x


def _all_gather(x: Tensor, group: ProcessGroup) -> Tensor:
    size = dist.get_world_size(group)
    out = x.new_empty((size * x.shape[0], *x.shape[1:]))
    _all_gather_single(out, x.contiguous(), group=group)
    return out


def _reduce_scatter(x: Tensor, group: ProcessGroup) -> Tensor:
    size = dist.get_world_size(group)
    assert x.shape[0] % size == 0, f"{x.shape[0]} positions cannot be split over {size} ranks"
    out = x.new_empty((x.shape[0] // size, *x.shape[1:]))
    _reduce_scatter_single(out, x.contiguous(), group=group)
    return out


def _own_part(x: Tensor, group: ProcessGroup) -> Tensor:
    size = dist.get_world_size(group)
    assert x.shape[0] % size == 0, f"{x.shape[0]} positions cannot be split over {size} ranks"
    return x.chunk(size, dim=0)[dist.get_rank(group)].contiguous()


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _all_reduce(grad, ctx.group), None


class _Reduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        return _all_reduce(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return _all_gather(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _reduce_scatter(grad, ctx.group), None


class _ReduceScatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return _reduce_scatter(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _all_gather(grad, ctx.group), None


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return _own_part(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _all_gather(grad, ctx.group), None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return _all_gather(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _own_part(grad, ctx.group), None


def _apply(function: type[torch.autograd.Function], x: Tensor, group: ProcessGroup) -> Tensor:
    return x if dist.get_world_size(group) == 1 else function.apply(x, group)


def copy(x: Tensor, group: ProcessGroup) -> Tensor:
    """Identity; the gradient is summed over the group."""
    return _apply(_Copy, x, group)


def reduce(x: Tensor, group: ProcessGroup) -> Tensor:
    """Sum over the group; the gradient passes."""
    return _apply(_Reduce, x, group)


def gather(x: Tensor, group: ProcessGroup) -> Tensor:
    """[s, ...] -> [S, ...]; the gradient is summed over the group and scattered."""
    return _apply(_Gather, x, group)


def reduce_scatter(x: Tensor, group: ProcessGroup) -> Tensor:
    """[S, ...] -> own part [s, ...] of the sum; the gradient is gathered."""
    return _apply(_ReduceScatter, x, group)


def split(x: Tensor, group: ProcessGroup) -> Tensor:
    """Replicated [S, ...] -> own part [s, ...]; the gradient is gathered."""
    return _apply(_Split, x, group)


def join(x: Tensor, group: ProcessGroup) -> Tensor:
    """[s, ...] -> [S, ...] for work that every rank repeats; the gradient is the own part."""
    return _apply(_Join, x, group)
