"""The mesh of ranks with its named axes, and the pure arithmetic behind it.

Axes, slowest first: pp (pipeline), dp_replicate, dp_shard (data), tp (tensor). Ranks of one tp group are neighbours, so that
they share a node.
"""

from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

AXES = ("pp", "dp_replicate", "dp_shard", "tp")


@dataclass(frozen=True)
class MeshShape:
    """Sizes of the axes; everything about ranks that needs no process group."""

    pp: int = 1
    dp_replicate: int = 1
    dp_shard: int = 1
    tp: int = 1

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Sizes in the order of `AXES`."""
        return self.pp, self.dp_replicate, self.dp_shard, self.tp

    @property
    def ranks(self) -> int:
        """Processes that the mesh needs."""
        return self.pp * self.dp_replicate * self.dp_shard * self.tp

    @property
    def data_parallel_size(self) -> int:
        """Ranks that see different rows of the batch."""
        return self.dp_replicate * self.dp_shard

    def coordinates(self, rank: int) -> tuple[int, int, int, int]:
        """Return the position of `rank` on each axis of `AXES`."""
        position = []
        for size in reversed(self.sizes):
            rank, index = divmod(rank, size)
            position.append(index)
        return position[3], position[2], position[1], position[0]

    def data_parallel_rank(self, rank: int) -> int:
        """Return which share of the batch `rank` computes."""
        _, replicate, shard, _ = self.coordinates(rank)
        return replicate * self.dp_shard + shard


def build_mesh(shape: MeshShape, device_type: str, timeout: timedelta | None = None) -> DeviceMesh:
    """Build the mesh over all ranks of the default process group; `shape.ranks` must be its size.

    `timeout` is that of the collectives on its axes (None: torch's default of the backend).
    """
    assert dist.get_world_size() == shape.ranks, f"{dist.get_world_size()} ranks cannot form {shape}"
    ranks = torch.arange(shape.ranks).view(shape.sizes)
    mesh = DeviceMesh(device_type, ranks, mesh_dim_names=AXES)
    if timeout is not None:
        for axis in AXES:
            # torch makes the groups of a mesh with the backend's default timeout, whatever the default group has.
            dist.distributed_c10d._set_pg_timeout(timeout, mesh[axis].get_group())
    return mesh


def single_process_mesh(device_type: str = "cpu") -> DeviceMesh:
    """Return a mesh of this process alone, for conversion and tests; opens no port."""
    if not dist.is_initialized():
        dist.init_process_group(
            "gloo", store=dist.HashStore(), rank=0, world_size=1, timeout=timedelta(minutes=1)
        )
    return build_mesh(MeshShape(), device_type)
