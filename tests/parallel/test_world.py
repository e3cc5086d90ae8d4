"""What a process needs to be one of several ranks."""

import pytest

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.parallel.world import mesh_shape, open_world

WHOLE = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("name", "value"), [("MASTER_ADDR", None), ("WORLD_SIZE", "x"), ("RANK", None), ("MASTER_PORT", "")]
)
def test_an_incomplete_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    for key, given in (WHOLE | {name: value}).items():
        if given is None:
            monkeypatch.delenv(key, raising=False)
        else:
            monkeypatch.setenv(key, given)
    with (
        pytest.raises(
            ConfigurationError, match="expected RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT as torchrun"
        ),
        open_world(ParallelConfig(), "cpu"),
    ):
        pass


def test_the_mesh_of_a_layout() -> None:
    layout = ParallelConfig(tensor_parallel=2, pipeline_parallel=2, data_parallel_shard=4, zero=3)
    shape = mesh_shape(layout, 64)
    assert (shape.pp, shape.dp_replicate, shape.dp_shard, shape.tp) == (2, 4, 4, 2)
    copies = mesh_shape(ParallelConfig(zero=0), 8)
    assert (copies.dp_replicate, copies.dp_shard) == (8, 1)
