"""Data parallelism by FSDP2: ranks hold shards of weights, gradients and optimizer state and sum their gradients.

zero 1 reduces the gradients at the last microbatch of a step, 2 reduce-scatters them at each, 3 also frees the gathered weights
after each use. At data-parallel size 1 `fully_shard` is not used: it would hold the weights twice.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard


def shard_data_parallel(
    model: nn.Module,
    blocks: Iterable[nn.Module],
    mesh: DeviceMesh,
    *,
    zero: Literal[1, 2, 3],
    compute_dtype: torch.dtype,
) -> None:
    """Shard `model` in place over the dp_shard axis, `blocks` as units of their own; gradients are summed, not averaged."""
    if mesh["dp_shard"].size() == 1:
        return
    axis, reshard = mesh["dp_shard"], zero == 3
    # Embeddings and heads stay float32 until their layers cast them: the gradient of a lookup sums over many positions.
    whole = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    cast = replace(whole, param_dtype=None if compute_dtype is torch.float32 else compute_dtype)
    for block in blocks:
        fully_shard(block, mesh=axis, reshard_after_forward=reshard, mp_policy=cast)
    fully_shard(model, mesh=axis, reshard_after_forward=reshard, mp_policy=whole)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)


def set_gradient_reduction(model: nn.Module, *, zero: Literal[1, 2, 3], last_microbatch: bool) -> None:
    """Say before each backward whether it reduces the gradients."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(zero >= 2 or last_microbatch)


def reshard(model: nn.Module) -> None:
    """Free gathered weights after a forward without a backward, so that `model.parameters()` are the shards again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
