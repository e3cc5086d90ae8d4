from megatron_bio.parallel.mesh import MeshShape


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
