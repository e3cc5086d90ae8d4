"""What a rank of a test measures: the storages that autograd keeps for the backward."""

from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import Stage
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.models.build import build_model
from megatron_bio.models.recompute import Recompute, recomputed
from megatron_bio.parallel.data_parallel import set_gradient_reduction, shard_data_parallel
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.parameters import initialize
from megatron_bio.training.optimizer import build_optimizer


def local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def batch(model: ModelConfig, rows: int, length: int, budget: int) -> dict[str, Tensor]:
    """Random rows of one sample each, as the data package shapes them."""
    g = torch.Generator().manual_seed(0)

    def ids(*shape: int, below: int = model.vocab_size or 0) -> Tensor:
        return torch.randint(0, below, shape, generator=g)

    fields = {
        "tokens": ids(rows, length),
        "segment_ids": torch.ones(rows, length, dtype=torch.int32),
        "position_ids": torch.arange(length).repeat(rows, 1),
        "dropout_keys": ids(rows, below=1 << 40),
    }
    if model.architecture == "gpt":
        return fields | {"labels": ids(rows, length), "label_weights": torch.ones(rows, length)}
    return fields | {
        "tokentype_ids": ids(rows, length, below=2),
        "masked_positions": ids(rows, budget, below=length),
        "masked_labels": ids(rows, budget),
        "masked_weights": torch.ones(rows, budget),
        "cls_positions": torch.zeros(rows, 1, dtype=torch.int64),
        "order_labels": ids(rows, 1, below=2),
        "order_weights": torch.ones(rows, 1),
    }


class Storages:
    """Distinct storages by address, with bytes and a description; those of `known` are left out."""

    def __init__(self, known: list[Tensor]) -> None:
        self._known = {local(tensor).untyped_storage().data_ptr() for tensor in known}
        self._kept: list[Tensor] = []  # a storage that was freed could lend its address to the next
        self.found: dict[int, tuple[str, int]] = {}

    def add(self, tensor: Tensor) -> Tensor:
        plain = local(tensor)
        storage = plain.untyped_storage()
        self._kept.append(plain)
        if storage.data_ptr() not in self._known:
            self.found[storage.data_ptr()] = (f"{plain.dtype} {list(plain.shape)}", storage.nbytes())
        return tensor

    def recomputed(self, function: Any, *args: Any) -> Any:
        """Stand for `models.recompute.recomputed`: autograd does not show what a recomputation keeps, its arguments."""
        for value in args:
            if isinstance(value, Tensor):
                self.add(value)
        return recomputed(function, *args)

    def by_shape(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for shape, size in self.found.values():
            sizes[shape] = sizes.get(shape, 0) + size
        return {"all": sum(sizes.values())} | sizes


def saved_bytes(
    model: ModelConfig,
    dtype: torch.dtype,
    rows: int,
    length: int,
    budget: int,
    parallel: ParallelConfig,
    stage: Stage | None = None,
) -> dict[str, int]:
    """Return bytes of distinct storages that a forward keeps: all, and by shape.

    Parameters, the batch and the hidden states that a stage receives are left out; those that it sends are counted.
    """
    mesh = build_mesh(MeshShape(tp=parallel.tensor_parallel), "cpu")["tp"]
    tensor_parallel = TensorParallel(mesh, parallel.sequence_parallel, dtype)
    recompute = Recompute(parallel.recompute, parallel.recompute_every)
    built: Any = build_model(model, tensor_parallel, stage, recompute)
    initialize(built, 1)
    built.train()
    fields = batch(model, rows, length, budget)
    own = length // mesh.size() if tensor_parallel.splits_sequence else length
    hidden = torch.randn(own, rows, model.hidden_size).to(dtype).requires_grad_()
    storages = Storages([*built.parameters(), *fields.values(), hidden])
    if stage and not stage.first:
        fields["tokens"] = hidden
    with (
        patch("megatron_bio.models.attention.recomputed", storages.recomputed),
        patch("megatron_bio.models.block.recomputed", storages.recomputed),
        saved_tensors_hooks(storages.add, lambda tensor: tensor),
    ):
        sums = built(**fields)
    if stage and not stage.last:
        storages.add(sums)
    (sums[: built.num_losses] if not stage or stage.last else sums).sum().backward()
    return storages.by_shape()


def total(tensors: list[Tensor]) -> int:
    return sum(local(tensor).numel() * tensor.element_size() for tensor in tensors)


def held_gradients(model: Any) -> list[Tensor]:
    """Return all gradients that a rank holds: plain ones, shards, and the whole ones that FSDP has not reduced yet."""
    states = [module._get_fsdp_state() for module in model.modules() if isinstance(module, FSDPModule)]
    units = [group for state in states for group in state._fsdp_param_groups]
    shared = [parameter for unit in units for parameter in unit.fsdp_params]
    if not shared:
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    found = [one.unsharded_accumulated_grad for one in shared] + [one.sharded_param.grad for one in shared]
    found += [one._unsharded_param.grad for one in shared if hasattr(one, "_unsharded_param")]
    return [gradient for gradient in found if gradient is not None]


def trained_bytes(model: ModelConfig, parallel: dict[str, Any], optimizer: OptimizerConfig) -> dict[str, int]:
    """Train one step of two microbatches; return the bytes of weights, gradients and moments that this rank holds.

    `gradients` are those between the microbatches, before the last reduction; `gradients after` those at the end of the step.
    """
    layout = ParallelConfig(**parallel)
    shard = layout.shard_size(layout.data_parallel or 1)
    mesh = build_mesh(MeshShape(tp=layout.tensor_parallel, dp_shard=shard), "cpu")
    splits = layout.sequence_parallel
    built: Any = build_model(model, TensorParallel(mesh["tp"], splits, torch.bfloat16))
    initialize(built, 1)
    shard_data_parallel(built, built.layers.values(), mesh, zero=layout.zero, compute_dtype=torch.bfloat16)
    adamw = build_optimizer(built, optimizer)
    built.train()
    between = 0
    for last in (False, True):
        between = total(held_gradients(built))
        set_gradient_reduction(built, zero=layout.zero, last_microbatch=last)
        built(**batch(model, 2, 16, 8))[: built.num_losses].sum().backward()
    adamw.step()
    parameters = list(built.parameters())
    moments = [tensor for state in adamw.state.values() for name, tensor in state.items() if name != "step"]
    return {
        "weights": total(parameters),
        "gradients": between,
        "gradients after": total([p.grad for p in parameters]),
        "optimizer": total(moments),
    }
