"""The processes of a run: started by torchrun or alone, checked against the layout before they talk to each other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.errors import ConfigurationError, UserError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.rank_failure import told_by_rank

COLLECTIVES_LAST = timedelta(seconds=30)
"""How much longer a collective waits than the watchdog of training, so that the watchdog reports first."""


@dataclass(frozen=True)
class World:
    """This process among the others."""

    rank: int
    shape: MeshShape
    mesh: DeviceMesh
    device: torch.device


def collective_timeout(minutes: float) -> timedelta:
    """Return the timeout of process groups that goes with a watchdog of `parallel.timeout_minutes`."""
    return timedelta(minutes=minutes) + COLLECTIVES_LAST


@contextmanager
def open_world(layout: ParallelConfig, device_choice: str) -> Iterator[World]:
    """Join the processes that torchrun started and build the mesh; a process on its own is a world of one rank."""
    rank, ranks = _place()
    shape = mesh_shape(layout, ranks)
    device = _device(device_choice)
    timeout = collective_timeout(layout.timeout_minutes)
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    store = None if "RANK" in os.environ else dist.HashStore()
    where = {} if store is None else {"store": store, "rank": 0, "world_size": 1}
    try:
        dist.init_process_group(backend, timeout=timeout, **where)
    except (dist.DistNetworkError, dist.DistStoreError) as error:
        raise UserError(
            f"rank {rank} of {ranks} could not meet the others at {os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}: "
            f"{error}. Start all of them with torchrun, with one rendezvous endpoint that every node reaches and nobody else uses."
        ) from error
    well = False
    try:
        with told_by_rank(rank, ranks):
            yield World(rank, shape, build_mesh(shape, device.type, timeout), device)
            # Leaving while another rank still sends would break its last collective.
            dist.barrier()
        well = True
    finally:
        # NCCL's teardown may wait for a rank that is gone; after a failure the end of the process does it.
        if well or device.type == "cpu":
            dist.destroy_process_group()


def _place() -> tuple[int, int]:
    """Return this process's rank and the number of ranks as torchrun gives them; 0 and 1 without it."""
    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    found = {name: os.environ[name] for name in needed if name in os.environ}
    if not {"RANK", "WORLD_SIZE"} & found.keys():
        return 0, 1
    numbers = [found.get(name, "") for name in needed if name != "MASTER_ADDR"]
    if len(found) < len(needed) or not all(number.isdecimal() for number in numbers):
        raise ConfigurationError(
            f"The environment of a rank is incomplete: expected {', '.join(needed)} as torchrun sets them, found "
            f"{', '.join(f'{name}={value}' for name, value in found.items())}. Start the run with torchrun, or unset them."
        )
    return int(found["RANK"]), int(found["WORLD_SIZE"])


def mesh_shape(layout: ParallelConfig, ranks: int) -> MeshShape:
    """Return the mesh of a layout on so many ranks, or raise `ConfigurationError` when they do not fit."""
    data_parallel = layout.data_parallel_size(ranks)
    shard = layout.shard_size(data_parallel)
    return MeshShape(
        pp=layout.pipeline_parallel,
        dp_replicate=data_parallel // shard,
        dp_shard=shard,
        tp=layout.tensor_parallel,
    )


def _device(choice: str) -> torch.device:
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "device: cuda was asked for, but torch finds no CUDA device; `megatron-bio doctor` says what it finds."
        )
    if choice == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.device_count() == 1:  # a launcher that shows each process its own GPU only
        local_rank = 0
    if local_rank >= torch.cuda.device_count():
        raise ConfigurationError(
            f"Process {local_rank} of this machine has no GPU: there are {torch.cuda.device_count()}; start torchrun with "
            f"as many processes per node as there are GPUs."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
