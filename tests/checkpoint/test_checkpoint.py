"""Checkpoints: what is complete, what stays, and that damage and malice are refused."""

import json
import os
import pickle
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from megatron_bio.checkpoint.find import complete_checkpoints, resolve_checkpoint
from megatron_bio.checkpoint.load import load_checkpoint, read_info
from megatron_bio.checkpoint.manifest import CheckpointError, file_entry, verify
from megatron_bio.checkpoint.save import save_checkpoint
from tests.distributed.pool import CaseFailedError, Pool


def small_state() -> dict[str, Tensor]:
    return {"model.a": torch.arange(6.0).view(2, 3), "model.b": torch.ones(4)}


def save_small(folder: Path, step: int, keep: int = 2) -> None:
    save_checkpoint(folder, step, small_state(), {"step": step}, keep)


def load_small(folder: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    load_checkpoint(resolve_checkpoint(folder), state)
    return state


@pytest.fixture
def checkpoint(pool: Pool, tmp_path: Path) -> Path:
    pool.run(save_small, 2, tmp_path, 5)
    return tmp_path / "step-00000005"


def test_layout_of_the_folder_and_retention(pool: Pool, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        pool.run(save_small, 2, tmp_path, step)
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    newest = resolve_checkpoint(tmp_path)
    assert read_info(newest) == {"step": 3}
    assert verify(newest) == []


def test_a_save_that_was_killed_is_no_checkpoint(pool: Pool, checkpoint: Path) -> None:
    partial = checkpoint.with_name(".step-00000006.partial")
    shutil.copytree(checkpoint, partial)
    unfinished = checkpoint.with_name("step-00000007")
    shutil.copytree(checkpoint, unfinished)
    (unfinished / "manifest.json").unlink()
    assert resolve_checkpoint(checkpoint.parent) == checkpoint
    pool.run(save_small, 2, checkpoint.parent, 6)
    assert resolve_checkpoint(checkpoint.parent).name == "step-00000006"


def test_damage_is_named(pool: Pool, checkpoint: Path) -> None:
    piece = next(checkpoint.glob("*.distcp"))
    content = bytearray(piece.read_bytes())
    content[len(content) // 2] ^= 1
    piece.write_bytes(content)
    with pytest.raises(CaseFailedError, match=f"damaged: .*{piece.name}: sha256 differs"):
        pool.run(load_small, 2, checkpoint, small_state())
    piece.write_bytes(content[:-1])
    with pytest.raises(CaseFailedError, match=f"{piece.name}: expected .* bytes, found"):
        pool.run(load_small, 1, checkpoint, small_state())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model.a": torch.zeros(3, 3)}, r"model.a has shape \[2, 3\], the model needs \[3, 3\]"),
        ({"model.c": torch.zeros(3)}, "expected a tensor model.c"),
    ],
)
def test_another_model_is_refused(
    pool: Pool, checkpoint: Path, state: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(CaseFailedError, match=message):
        pool.run(load_small, 1, checkpoint, state)


class Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_a_harmful_index_is_refused_and_not_run(pool: Pool, checkpoint: Path, tmp_path: Path) -> None:
    marker = tmp_path / "harmed"
    index = checkpoint / ".metadata"
    index.write_bytes(pickle.dumps(Harmful(marker)))
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"][".metadata"] = file_entry(index)  # an attacker writes a fitting manifest too
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CaseFailedError, match=r"refused: it names \w+\.system"):
        pool.run(load_small, 1, checkpoint, small_state())
    assert not marker.exists()


@pytest.mark.parametrize("content", ["{}", '{"files": {}}', '{"files": {"info.json": {}}}', "[]", "nothing"])
def test_a_manifest_that_no_save_writes_is_refused(pool: Pool, checkpoint: Path, content: str) -> None:
    (checkpoint / "manifest.json").write_text(content)
    with pytest.raises(CaseFailedError, match=r"CheckpointError: .*manifest\.json: expected"):
        pool.run(load_small, 1, checkpoint, small_state())


def fill_disk_and_save(folder: Path) -> None:
    """Save more than a file may hold: the system refuses the write as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        save_checkpoint(folder, 6, {"model.a": torch.zeros(100_000)}, {"step": 6}, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_write_that_fails_leaves_the_last_checkpoint_and_no_rest(pool: Pool, checkpoint: Path) -> None:
    with pytest.raises(CaseFailedError, match="could not be written"):
        pool.run(fill_disk_and_save, 2, checkpoint.parent)
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    assert verify(checkpoint) == []
    pool.run(save_small, 2, checkpoint.parent, 6)


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        resolve_checkpoint(tmp_path)
