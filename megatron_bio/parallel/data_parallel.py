"""Data parallelism: ranks that see different rows share the state as `zero` says and sum their gradients.

On the dp_shard axis it is FSDP2: zero 1 reduces the gradients at the last microbatch of a step, 2 reduce-scatters them at
each, 3 also frees the gathered weights after each use. Copies on the dp_replicate axis (hybrid sharding) are summed by FSDP2
too. Where nothing is sharded (zero 0, or one rank to share with) `fully_shard` is not used, because it would hold the weights
twice; the gradients of such copies are summed here, once per step.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from megatron_bio.parallel.buckets import all_reduce_in_buckets, local_gradients

Zero = Literal[0, 1, 2, 3]


def shard_data_parallel(
    model: nn.Module,
    blocks: Iterable[nn.Module],
    mesh: DeviceMesh,
    *,
    zero: Zero,
    compute_dtype: torch.dtype,
    split_backward: bool = False,
) -> None:
    """Shard `model` in place over the dp_shard axis, `blocks` as units of their own; gradients are summed, not averaged.

    The blocks' weights are gathered in `compute_dtype`. A pipeline schedule with `split_backward` computes the gradients of
    inputs and of weights apart. It adds up the latter in the dtype of the gathered weights, so that is float32 then and the
    layers cast; and it looks for the gathered weights before the backward, so they are not freed after a forward: the schedule
    frees them.
    """
    if mesh["dp_shard"].size() == 1:
        return
    hybrid = mesh["dp_replicate"].size() > 1
    axes = mesh["dp_replicate", "dp_shard"] if hybrid else mesh["dp_shard"]
    # Embeddings and heads stay float32 until their layers cast them: the gradient of a lookup sums over many positions.
    whole = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    cast = (
        whole
        if split_backward or compute_dtype is torch.float32
        else replace(whole, param_dtype=compute_dtype)
    )
    free = zero == 3 and not split_backward
    for block in blocks:
        fully_shard(block, mesh=axes, reshard_after_forward=free, mp_policy=cast)
    fully_shard(model, mesh=axes, reshard_after_forward=free, mp_policy=whole)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)


def set_gradient_reduction(model: nn.Module, *, zero: Zero, last_microbatch: bool) -> None:
    """Say before each backward whether it reduces the gradients, and whether it frees the gathered weights."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(zero >= 2 or last_microbatch)
        model.set_reshard_after_backward(zero == 3 or last_microbatch)


def sum_replicated_gradients(model: nn.Module, mesh: DeviceMesh) -> None:
    """Sum the gradients over dp_replicate where FSDP2 does not: in float32, once per step."""
    if mesh["dp_shard"].size() == 1 and mesh["dp_replicate"].size() > 1:
        all_reduce_in_buckets(local_gradients(model.parameters()), mesh["dp_replicate"].get_group())


def reshard(model: nn.Module) -> None:
    """Free gathered weights after a forward without a backward, so that `model.parameters()` are the shards again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
