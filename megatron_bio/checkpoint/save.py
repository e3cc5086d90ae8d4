"""Writing a checkpoint: a temporary folder, every file on disk, the manifest last, then one rename."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from megatron_bio.checkpoint.find import complete_checkpoints, folder_step, step_folder
from megatron_bio.checkpoint.manifest import (
    INFO,
    MANIFEST,
    CheckpointError,
    file_entry,
    sync_folder,
    write_json,
)
from megatron_bio.parallel.agreement import failure_on_any_rank, failure_on_first_rank


def save_checkpoint(
    root: Path,
    step: int,
    state: dict[str, Tensor],
    info: dict[str, Any],
    keep: int,
    *,
    keep_every: int = 0,
    group: dist.ProcessGroup | None = None,
    progress: Callable[[str], None] = lambda done: None,
) -> Path:
    """Save `state` (names to tensors or DTensors) and `info` (JSON) as `root/step-…`; all ranks call it.

    A kill at any moment leaves the earlier checkpoints as they were. Afterwards the newest `keep` stay, and of every step
    that is a multiple of `keep_every` (0: of none). `group` holds all ranks and does the talking (None: the default
    group); another thread than the training's must have its own. `progress` is told what is done. Raises
    `CheckpointError` on every rank if one could not write.
    """
    final = root / step_folder(step)
    partial = root / f".{final.name}.partial"
    _on_first_rank(lambda: _prepare(partial), final, group)
    try:
        dcp.save(state, storage_writer=_Writer(partial), process_group=group)
    except CheckpointException as error:
        reasons = "; ".join(f"rank {rank}: {failure[0]}" for rank, failure in error.failures.items())
        raise _write_error(final, reasons, group) from error
    progress("files written")
    entries = _hash_files(partial, final, group)
    progress("files hashed")
    _on_first_rank(lambda: finish_checkpoint(partial, final, info, entries), final, group)
    _on_first_rank(lambda: _remove_old(root, keep, keep_every), final, group)
    progress("complete")
    return final


class _Writer(dcp.FileSystemWriter):
    """Says what the system refused, where torch's own message is of the file that is then incomplete."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this rank's files."""
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            before: BaseException | None = error
            while before is not None and not isinstance(before, OSError):
                before = before.__cause__ or before.__context__
            if before is None:
                raise
            raise OSError(before.errno, before.strerror) from error


def _write_error(final: Path, reason: str, group: dist.ProcessGroup | None) -> CheckpointError:
    """Remove what was written, which frees the disk, and return the error to raise."""
    partial = final.parent / f".{final.name}.partial"
    free: list[str | None] = [None]
    if dist.get_rank() == 0:
        free = [_free_bytes(final.parent)]
        shutil.rmtree(partial, ignore_errors=True)
    dist.broadcast_object_list(free, src=0, group=group)
    return CheckpointError(
        f"{final}: the checkpoint could not be written: {reason} ({free[0]} bytes were free on this disk). Earlier "
        f"checkpoints are untouched; free space or mend the folder, then start the same command again."
    )


def _free_bytes(root: Path) -> str:
    try:
        return f"{shutil.disk_usage(root).free:,}"
    except OSError:
        return "an unknown number of"


def _prepare(partial: Path) -> None:
    """Make the folder; what killed saves and removals have left in the one above goes."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    for pattern in (".step-*.partial", ".step-*.removed"):
        for left in partial.parent.glob(pattern):
            shutil.rmtree(left)
    partial.mkdir()


def finish_checkpoint(
    partial: Path, final: Path, info: dict[str, Any], entries: dict[str, dict[str, Any]]
) -> None:
    """Write info.json and the manifest beside the tensors' files, whose manifest entries are `entries`, and rename."""
    write_json(partial / INFO, info)
    for name in (INFO, ".metadata"):
        entries[name] = file_entry(partial / name)
    write_json(partial / MANIFEST, {"files": entries})
    sync_folder(partial)
    if final.exists():  # a run that was resumed from an earlier step comes by again
        _remove(final)
    partial.rename(final)
    sync_folder(final.parent)


def _remove_old(root: Path, keep: int, keep_every: int) -> None:
    folders = complete_checkpoints(root)
    if keep_every:
        folders = [folder for folder in folders if folder_step(folder) % keep_every]
    for folder in folders[:-keep]:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Rename, then remove: what a kill leaves is then not taken for a checkpoint, and the next save removes it."""
    removed = folder.with_name(f".{folder.name}.removed")
    if removed.exists():
        shutil.rmtree(removed)
    shutil.rmtree(folder.rename(removed))


def _hash_files(partial: Path, final: Path, group: dist.ProcessGroup | None) -> dict[str, dict[str, Any]]:
    """Return the manifest's entries of all ranks' files; each rank hashes its own, and forces them to disk."""
    own: dict[str, dict[str, Any]] = {}

    def hash_own() -> None:
        own.update({path.name: file_entry(path) for path in partial.glob(f"__{dist.get_rank()}_*.distcp")})

    if failure := failure_on_any_rank(hash_own, group):
        raise _write_error(final, failure, group)
    parts: list[dict[str, dict[str, Any]]] = [{}] * dist.get_world_size(group)
    dist.all_gather_object(parts, own, group=group)
    return {name: entry for part in parts for name, entry in part.items()}


def _on_first_rank(action: Callable[[], None], final: Path, group: dist.ProcessGroup | None) -> None:
    if failure := failure_on_first_rank(action, group):
        raise _write_error(final, failure, group)
