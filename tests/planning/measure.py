"""What a rank of a test measures: the storages that autograd keeps for the backward."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.tensor import DTensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.training import OptimizerConfig
from megatron_bio.models.build import build_model
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


def saved_bytes(
    model: ModelConfig, dtype: torch.dtype, rows: int, length: int, budget: int, tp: int, sequence: bool
) -> dict[str, int]:
    """Return bytes of distinct storages that a forward keeps, parameters and the batch left out: all, and by shape."""
    mesh = build_mesh(MeshShape(tp=tp), "cpu")
    built: Any = build_model(model, TensorParallel(mesh["tp"], sequence, dtype))
    initialize(built, 1)
    built.train()
    fields = batch(model, rows, length, budget)
    known = {local(p).untyped_storage().data_ptr() for p in built.parameters()}
    known |= {field.untyped_storage().data_ptr() for field in fields.values()}
    found: dict[int, tuple[str, int]] = {}
    kept = []  # a storage that was freed could lend its address to the next

    def pack(tensor: Tensor) -> Tensor:
        plain = local(tensor)
        storage = plain.untyped_storage()
        kept.append(plain)
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = (f"{plain.dtype} {list(plain.shape)}", storage.nbytes())
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        sums = built(**fields)
    by_shape: dict[str, int] = {}
    for shape, size in found.values():
        by_shape[shape] = by_shape.get(shape, 0) + size
    sums[: built.num_losses].sum().backward()
    return {"all": sum(by_shape.values())} | by_shape


def trained_bytes(model: ModelConfig, parallel: dict[str, Any], optimizer: OptimizerConfig) -> dict[str, int]:
    """Train one step of two microbatches; return the bytes of weights, gradients and moments that this rank holds."""
    layout = ParallelConfig(**parallel)
    shard = layout.shard_size(layout.data_parallel or 1)
    mesh = build_mesh(MeshShape(tp=layout.tensor_parallel, dp_shard=shard), "cpu")
    splits = layout.sequence_parallel
    built: Any = build_model(model, TensorParallel(mesh["tp"], splits, torch.bfloat16))
    initialize(built, 1)
    blocks = getattr(built.layers, "values", lambda: built.layers)()
    shard_data_parallel(built, blocks, mesh, zero=layout.zero, compute_dtype=torch.bfloat16)
    adamw = build_optimizer(built, optimizer)
    built.train()
    for last in (False, True):
        set_gradient_reduction(built, zero=layout.zero, last_microbatch=last)
        built(**batch(model, 2, 16, 8))[: built.num_losses].sum().backward()
    adamw.step()
    parameters = list(built.parameters())
    moments = [tensor for state in adamw.state.values() for name, tensor in state.items() if name != "step"]

    def total(tensors: list[Tensor]) -> int:
        return sum(local(tensor).numel() * tensor.element_size() for tensor in tensors)

    return {
        "weights": total(parameters),
        "gradients": total([p.grad for p in parameters]),
        "optimizer": total(moments),
    }
