"""Writing a checkpoint: a temporary folder, every file on disk, the manifest last, then one rename."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from megatron_bio.checkpoint.find import complete_checkpoints, step_folder
from megatron_bio.checkpoint.manifest import (
    INFO,
    MANIFEST,
    CheckpointError,
    file_entry,
    sync_folder,
    write_json,
)
from megatron_bio.parallel.agreement import failure_on_first_rank


def save_checkpoint(root: Path, step: int, state: dict[str, Tensor], info: dict[str, Any], keep: int) -> Path:
    """Save `state` (names to tensors or DTensors) and `info` (JSON) as `root/step-…`; all ranks call it.

    A kill at any moment leaves the earlier checkpoints as they were. Afterwards the newest `keep` stay. Raises
    `CheckpointError` on every rank if one could not write.
    """
    final = root / step_folder(step)
    partial = root / f".{final.name}.partial"
    _on_first_rank(lambda: _prepare(partial), final)
    try:
        dcp.save(state, storage_writer=dcp.FileSystemWriter(partial))
    except CheckpointException as error:
        reasons = "; ".join(f"rank {rank}: {failure[0]}" for rank, failure in error.failures.items())
        free = shutil.disk_usage(root).free
        _on_first_rank(lambda: shutil.rmtree(partial, ignore_errors=True), final)
        raise _write_error(final, f"{reasons} ({free:,} bytes were free on this disk)") from error
    own = {path.name: path for path in partial.glob(f"__{dist.get_rank()}_*.distcp")}
    entries = _gather({name: file_entry(path) for name, path in own.items()})
    _on_first_rank(lambda: _finish(partial, final, info, entries), final)
    _on_first_rank(lambda: _remove_old(root, keep), final)
    return final


def _write_error(final: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{final}: the checkpoint could not be written: {reason}. Earlier checkpoints are untouched; "
        f"free space or mend the folder, then start the same command again."
    )


def _prepare(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)


def _finish(partial: Path, final: Path, info: dict[str, Any], entries: dict[str, dict[str, Any]]) -> None:
    write_json(partial / INFO, info)
    for name in (INFO, ".metadata"):
        entries[name] = file_entry(partial / name)
    write_json(partial / MANIFEST, {"files": entries})
    sync_folder(partial)
    if final.exists():  # a run that was resumed from an earlier step comes by again
        shutil.rmtree(final)
    partial.rename(final)
    sync_folder(final.parent)


def _remove_old(root: Path, keep: int) -> None:
    for folder in complete_checkpoints(root)[:-keep]:
        # The manifest goes first: what a kill leaves of the folder is then not taken for a checkpoint.
        (folder / MANIFEST).unlink()
        shutil.rmtree(folder)


def _gather(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    parts: list[dict[str, dict[str, Any]]] = [{}] * dist.get_world_size()
    dist.all_gather_object(parts, entries)
    return {name: entry for part in parts for name, entry in part.items()}


def _on_first_rank(action: Callable[[], None], final: Path) -> None:
    if failure := failure_on_first_rank(action):
        raise _write_error(final, failure)
