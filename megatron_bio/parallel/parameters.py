"""Parameters are DTensors on the tp axis; the placement is the one truth about how they are split.

Initial values do not depend on the layout: every rank draws the full tensor from a seed made of the parameter's name and
keeps its slice.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

Initializer = Callable[[Tensor, torch.Generator], None]


def normal(std: float) -> Initializer:
    """Draw from N(0, std²)."""
    return lambda tensor, generator: tensor.normal_(0.0, std, generator=generator)


def constant(value: float) -> Initializer:
    """Fill with one value."""
    return lambda tensor, _: tensor.fill_(value)


def parameter(
    shape: tuple[int, ...], tp_mesh: DeviceMesh, shard_dim: int | None, initializer: Initializer
) -> nn.Parameter:
    """Make a float32 parameter of full shape `shape`, split along `shard_dim` over the tp axis or replicated.

    The values come from `initialize`, which needs the parameter's name.
    """
    local = list(shape)
    if shard_dim is not None:
        size = tp_mesh.size()
        assert shape[shard_dim] % size == 0, f"{shape} cannot be split along {shard_dim} over {size} ranks"
        local[shard_dim] //= size
    placement = Replicate() if shard_dim is None else Shard(shard_dim)
    # A default device set by the caller (meta, cuda) decides where the values will lie.
    tensor = DTensor.from_local(torch.empty(local), tp_mesh, [placement], run_check=False)
    result = nn.Parameter(tensor)
    result.initializer = initializer
    return result


def initialize(module: nn.Module, seed: int) -> None:
    """Fill every parameter of `module`; call it before `fully_shard`, which replaces the parameters."""
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            set_from_full(tensor, initial_value(name, tensor, seed))


def initial_value(name: str, parameter: nn.Parameter, seed: int) -> Tensor:
    """Return the full initial value of a parameter, which its name and the seed determine; it may be on any device."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    full = torch.empty(parameter.shape, device="cpu")
    parameter.initializer(full, generator)
    return full


def set_from_full(parameter: Tensor, full: Tensor) -> None:
    """Copy this rank's slice of the full tensor into a parameter that is split over tp only."""
    local = parameter.to_local()
    mesh, placement = parameter.device_mesh, parameter.placements[0]
    if placement.is_shard():
        full = full.chunk(mesh.size(), placement.dim)[mesh.get_local_rank()]
    with torch.no_grad():
        local.copy_(full)


def local(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """Return this rank's plain tensor of a parameter in the dtype of the computation."""
    return parameter.to_local().to(dtype)


def tp_placement(parameter: DTensor) -> Replicate | Shard:
    """Return how `parameter` lies on the tp axis, which is the last axis of its mesh with or without data parallelism."""
    return parameter.placements[-1]
