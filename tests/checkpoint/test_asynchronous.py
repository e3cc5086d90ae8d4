"""Checkpoints in the background, those that stay for good, and disks that fill up."""

import contextlib
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from megatron_bio.checkpoint.find import complete_checkpoints, folder_step
from megatron_bio.checkpoint.load import load_checkpoint
from megatron_bio.checkpoint.manifest import CheckpointError, verify
from megatron_bio.config.training import TrainingConfig
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.training import checkpoints
from megatron_bio.training.checkpoints import Checkpoints, newest_checkpoint
from megatron_bio.training.host_copy import host_copy
from megatron_bio.training.watchdog import Watchdog
from tests.distributed.pool import Pool
from tests.distributed.tiny_run import make_data, tensors
from tests.training.jobs import Jobs, recipe


def open_checkpoints(root: Path, **options: object) -> Checkpoints:
    config = TrainingConfig(output="run", train_steps=9, **options)
    watchdog = Watchdog(10.0, dist.get_rank(), dist.get_world_size(), active=False)
    return Checkpoints(root, config, 0, watchdog, timedelta(seconds=60))


def steps(root: Path) -> list[int]:
    return [folder_step(path) for path in complete_checkpoints(root)]


def state() -> dict[str, Tensor]:
    """Return a tensor whose rows are split over two ranks and one that both have."""
    mesh = build_mesh(MeshShape(tp=dist.get_world_size(), dp_shard=1), "cpu")["tp"]
    return {
        "model.a": distribute_tensor(torch.arange(12.0).view(4, 3), mesh, [Shard(0)]),
        "model.b": distribute_tensor(torch.ones(4), mesh, [Replicate()]),
        "model.c": torch.full((3,), 2.0),
    }


def save_steps(root: Path, last: int, asynchronous: bool) -> list[int]:
    with open_checkpoints(
        root, keep_checkpoints=2, keep_every=3, asynchronous_checkpoints=asynchronous
    ) as saves:
        for step in range(1, last + 1):
            saves.save(step, state(), {"step": step})
            saves.save(step, state(), {"step": -1})  # is saved already
        saves.finish()
        return steps(root)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_last_and_every_nth_checkpoint_stay(pool: Pool, tmp_path: Path, asynchronous: bool) -> None:
    assert pool.run(save_steps, 2, tmp_path, 8, asynchronous) == [[3, 6, 7, 8]] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{n:08d}" for n in (3, 6, 7, 8)]
    for path in complete_checkpoints(tmp_path):
        assert verify(path) == []


def newest_with_a_late_view(root: Path) -> str | None:
    """Let rank 1 see no checkpoint, as on a network file system whose cache is old."""
    if dist.get_rank() == 1:
        root = root / "old"
    newest = newest_checkpoint(root)
    return newest.name if newest else None


def test_all_ranks_continue_from_what_the_first_one_sees(pool: Pool, tmp_path: Path) -> None:
    assert pool.run(newest_with_a_late_view, 2, tmp_path) == [None, None]
    pool.run(save_steps, 2, tmp_path, 2, False)
    assert pool.run(newest_with_a_late_view, 2, tmp_path) == ["step-00000002"] * 2


def change_after_saving(root: Path) -> list[tuple[list[int], list[int], list[list[float]]]]:
    """Hold the background save up, go on training meanwhile, then let it end."""
    go_on = threading.Event()
    really_save = checkpoints.save_checkpoint

    def late(*args: object, **kwargs: object) -> Path:
        go_on.wait(60.0)
        return really_save(*args, **kwargs)  # type: ignore[arg-type]

    checkpoints.save_checkpoint = late  # type: ignore[assignment]
    try:
        tensors = state()
        with open_checkpoints(root, asynchronous_checkpoints=True) as saves:
            saves.save(1, tensors, {"step": 1})
            for tensor in tensors.values():
                with torch.no_grad():
                    tensor.mul_(-1.0)
            dist.all_reduce(torch.ones(1))  # training communicates while the save waits
            before = steps(root)
            go_on.set()
            saves.finish()
            dist.barrier()
            after = steps(root)
        load_checkpoint(root / "step-00000001", tensors)
    finally:
        checkpoints.save_checkpoint = really_save
    full = [t.full_tensor() if isinstance(t, DTensor) else t for t in tensors.values()]
    return [(before, after, [tensor.flatten().tolist() for tensor in full])]


def test_what_is_saved_is_the_state_at_the_call(pool: Pool, tmp_path: Path) -> None:
    for [(before, after, values)] in pool.run(change_after_saving, 2, tmp_path):
        assert (before, after) == ([], [1])
        assert values == [[float(n) for n in range(12)], [1.0] * 4, [2.0] * 3]


def copy_of_a_split_tensor() -> list[bool]:
    tensor = state()["model.a"]
    copy = host_copy({"a": tensor})["a"]
    assert isinstance(tensor, DTensor)
    assert isinstance(copy, DTensor)
    return [
        copy.device_mesh == tensor.device_mesh,
        copy.placements == tensor.placements,
        copy.shape == tensor.shape,
        copy.to_local().data_ptr() != tensor.to_local().data_ptr(),
        torch.equal(copy.to_local(), tensor.to_local()),
    ]


def test_a_copy_keeps_mesh_and_placements(pool: Pool) -> None:
    assert pool.run(copy_of_a_split_tensor, 2) == [[True] * 5] * 2


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let the system refuse a write as it does on a full disk, on rank 1 alone: a file may not grow over 4 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if dist.get_rank() == 1:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def save_to_a_full_disk(root: Path, asynchronous: bool, next_call: str) -> tuple[str, list[int]]:
    """Save step 1, then step 2 on a full disk; return the error of `next_call` and the checkpoints that are there."""
    large = {"model.a": distribute_tensor(torch.zeros(100_000), build_mesh_of_all(), [Shard(0)])}
    small, text = state(), "no error"
    saves = open_checkpoints(root, asynchronous_checkpoints=asynchronous)
    saves.save(1, small, {"step": 1})
    saves.finish()
    with full_disk():
        try:
            saves.save(2, large, {"step": 2})
            if next_call == "save":
                saves.save(3, small, {"step": 3})
            elif next_call == "finish":
                saves.finish()
            else:
                with saves:
                    pass
        except CheckpointError as error:
            text = str(error)
    dist.barrier()
    return text, steps(root)


def build_mesh_of_all():
    return build_mesh(MeshShape(tp=dist.get_world_size(), dp_shard=1), "cpu")["tp"]


@pytest.mark.parametrize(
    ("asynchronous", "next_call"), [(False, "finish"), (True, "finish"), (True, "save"), (True, "leave")]
)
def test_a_full_disk_is_told_on_every_rank_and_leaves_the_last_checkpoint(
    pool: Pool, tmp_path: Path, asynchronous: bool, next_call: str
) -> None:
    (text, found), (other_text, _) = pool.run(save_to_a_full_disk, 2, tmp_path, asynchronous, next_call)
    assert text == other_text
    assert "step-00000002: the checkpoint could not be written: rank 1: " in text
    assert "File too large" in text, text
    assert "Earlier checkpoints are untouched" in text
    assert found == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert verify(tmp_path / "step-00000001") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of 1.8 MB, which holds two checkpoints of the tiny run and no third."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1800k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip(
            "mounting a small file system is not permitted here; the tests above limit the size of files"
        )
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_run_whose_disk_fills_up_continues_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    make_data(tmp_path, "gpt")
    log = tmp_path / "log"
    jobs = Jobs()
    try:
        through = jobs.start(recipe(tmp_path, "through"), log, ranks=2)
        assert through.statuses() == [0, 0], log.read_text()
        for asynchronous in (False, True):
            path = recipe(tmp_path, "run", keep_checkpoints=5, asynchronous_checkpoints=asynchronous)
            statuses = jobs.start(path, log, ranks=2).statuses()
            assert set(statuses) <= {1, -9}, log.read_text()
            assert 1 in statuses
            assert steps(small_disk) == [2, 4]
            assert [path.name for path in small_disk.iterdir() if not path.name.startswith("step-")] == []
            assert all(verify(path) == [] for path in complete_checkpoints(small_disk))
        assert log.read_text().count("No space left on device") >= 2
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        assert jobs.start(path, log, ranks=2).statuses() == [0, 0], log.read_text()
    finally:
        jobs.close()
    expected, found = tensors(tmp_path / "through"), tensors(tmp_path / "run")
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
