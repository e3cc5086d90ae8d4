from datetime import timedelta

import torch

from megatron_bio.parallel.mesh import AXES, MeshShape, build_mesh
from tests.distributed.pool import Pool


def timeouts() -> list[float]:
    """Return the seconds that collectives wait on each axis."""
    mesh = build_mesh(MeshShape(pp=2, tp=2), "cpu", timedelta(minutes=47))
    groups = [mesh[axis].get_group() for axis in AXES]
    return [group._get_backend(torch.device("cpu")).options._timeout.total_seconds() for group in groups]


def test_every_axis_has_the_timeout_of_the_run(pool: Pool) -> None:
    assert pool.run(timeouts, 4)[0] == [47 * 60.0] * 4


def test_coordinates_of_1024_ranks_are_a_bijection_with_tp_fastest() -> None:
    shape = MeshShape(pp=4, dp_replicate=2, dp_shard=16, tp=8)
    assert shape.ranks == 1024
    seen = {shape.coordinates(rank) for rank in range(1024)}
    assert len(seen) == 1024
    assert shape.coordinates(0) == (0, 0, 0, 0)
    assert shape.coordinates(1) == (0, 0, 0, 1)
    assert shape.coordinates(8) == (0, 0, 1, 0)
    assert shape.coordinates(1023) == (3, 1, 15, 7)


def test_ranks_of_one_tensor_parallel_group_share_their_rows() -> None:
    shape = MeshShape(dp_replicate=2, dp_shard=3, tp=4)
    assert [shape.data_parallel_rank(rank) for rank in range(24)] == [r // 4 for r in range(24)]
