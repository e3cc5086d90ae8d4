"""Which checkpoints a folder has."""

import re
from pathlib import Path

from megatron_bio.checkpoint.manifest import MANIFEST, CheckpointError

_STEP = re.compile(r"step-(\d{8,})")


def step_folder(step: int) -> str:
    """Return the folder name of a step; names sort like numbers."""
    return f"step-{step:08d}"


def folder_step(folder: Path) -> int:
    """Return the step that a checkpoint's folder name says."""
    return int(folder.name.removeprefix("step-"))


def complete_checkpoints(root: Path) -> list[Path]:
    """Return the complete checkpoints in `root`, oldest first; one is complete when its manifest is there."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if _STEP.fullmatch(path.name) and (path / MANIFEST).is_file()]
    return sorted(found, key=folder_step)


def resolve_checkpoint(path: Path) -> Path:
    """Return the checkpoint that a user means by a checkpoint folder, a checkpoints/ folder or a run's folder."""
    if (path / MANIFEST).is_file():
        return path
    for root in (path, path / "checkpoints"):
        if found := complete_checkpoints(root):
            return found[-1]
    raise CheckpointError(
        f"{path}: expected a checkpoint (a folder step-… with {MANIFEST}), or a run's folder that has one; found none. "
        f"Give the folder that training.output named."
    )
