"""The manifest: which files a checkpoint has, with size and sha256; its presence makes the checkpoint complete."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import UserError

MANIFEST = "manifest.json"
INFO = "info.json"
IMPORTED_FROM = "imported_from"
"""Key of info.json where the weights were converted from another format: there is no run to go on with."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or does not fit the run."""


def file_entry(path: Path) -> dict[str, Any]:
    """Return size in bytes and sha256 of a file, after forcing it to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON and force it to disk."""
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Force the names in a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected readable JSON of a checkpoint; found: {error}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}.")
    return content


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of a checkpoint's manifest; one that could not have been written by a save is refused."""
    path = folder / MANIFEST
    files = read_json(path).get("files")
    whole = isinstance(files, dict) and all(
        isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in files.values()
    )
    if (
        not whole
        or not {INFO, ".metadata"} <= files.keys()
        or not any(name.endswith(".distcp") for name in files)
    ):
        raise CheckpointError(
            f"{path}: expected sizes and sha256 of {INFO}, .metadata and at least one .distcp file; found another "
            f"content. The checkpoint is damaged: remove this folder to go on from the one before."
        )
    return files


def verify(folder: Path, part: int = 0, parts: int = 1) -> list[str]:
    """Compare a checkpoint's files with its manifest and return what differs, one line each.

    Sizes are always compared; this call hashes every `parts`-th file from `part` on.
    """
    problems = []
    for index, (name, entry) in enumerate(sorted(read_manifest(folder).items())):
        path = folder / name
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif path.stat().st_size != entry["bytes"]:
            problems.append(f"{path}: expected {entry['bytes']} bytes, found {path.stat().st_size}")
        elif index % parts == part and file_entry(path)["sha256"] != entry["sha256"]:
            problems.append(f"{path}: sha256 differs from the manifest's")
    return problems
