"""Running the verbs in a process whose group is there already, alone or as one of several tensor-parallel ranks."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from megatron_bio.config.generate import FillOptions, GenerateOptions
from megatron_bio.generation import session
from megatron_bio.generation.fill import fill
from megatron_bio.generation.generate import generate
from megatron_bio.parallel.mesh import MeshShape, build_mesh, single_process_mesh
from megatron_bio.parallel.world import World


@contextmanager
def process_group_is_there() -> Iterator[None]:
    """Let the verbs use the default group of this process, or make one of this process alone."""
    if not dist.is_initialized():
        single_process_mesh()
    shape = MeshShape(tp=dist.get_world_size())
    world = World(dist.get_rank(), shape, build_mesh(shape, "cpu"), torch.device("cpu"))
    ranks = {"RANK": str(world.rank), "WORLD_SIZE": str(shape.tp)}

    @contextmanager
    def open_world(layout: Any, device: str) -> Iterator[World]:
        assert layout.tensor_parallel == shape.tp
        yield world

    with mock.patch.object(session, "open_world", open_world), mock.patch.dict(os.environ, ranks):
        yield


def run(options: GenerateOptions | FillOptions) -> None:
    """Run the verb of these options; the same on every rank of a pool."""
    verb: Callable[[Any], None] = generate if isinstance(options, GenerateOptions) else fill
    with process_group_is_there():
        verb(options)


def results(options: GenerateOptions | FillOptions) -> list[dict[str, Any]]:
    """Run the verb and return the lines that it wrote to `options.output`, which is removed."""
    assert options.output is not None
    run(options)
    return read(options.output)


def read(output: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    output.unlink()
    return lines
