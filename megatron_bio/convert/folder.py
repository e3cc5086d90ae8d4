"""An exported folder appears under its name complete or not at all, and takes the place of an earlier export only then.

.NAME.partial    being written; removed on an error, and by the next run after a kill
.NAME.previous   the earlier export between the two renames; the next run puts it back if NAME is missing
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megatron_bio.convert.errors import ConvertError

MARKER = "megatron_bio.json"
"""File that tells our exports from other folders; written last."""


@contextmanager
def replaced_folder(output: Path) -> Iterator[Path]:
    """A new folder to write to; on leaving without an error it is synced to disk and takes the place of `output`.

    On any error it is removed and an earlier export stays as it was. Raises `ConvertError` if `output` is something that
    an export may not replace.
    """
    output = output.resolve()
    partial = output.with_name(f".{output.name}.partial")
    previous = output.with_name(f".{output.name}.previous")
    with write_errors(output):
        _recover(output, previous)
        _check_replaceable(output)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    try:
        yield partial
        with write_errors(output):
            assert (partial / MARKER).is_file(), f"an export without {MARKER} could not be replaced later"
            _sync(partial)
            _swap(partial, output, previous)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def write_errors(output: Path) -> Iterator[None]:
    """Turn what the disk refuses into a message."""
    try:
        yield
    except OSError as error:
        raise ConvertError(
            f"{output}: the export could not be written: {error}. What was there before is unchanged; check the free space "
            f"and the permissions of the folder above it."
        ) from error


def check_output(output: Path) -> None:
    """Refuse an output that an export may not replace; for use before the long work."""
    _check_replaceable(output.resolve())


def _check_replaceable(output: Path) -> None:
    if not output.exists() or (output / MARKER).is_file() or (output.is_dir() and not any(output.iterdir())):
        return
    found = f"a folder without {MARKER}" if output.is_dir() else "a file"
    raise ConvertError(
        f"--output {output}: expected a new folder or an earlier export to replace, found {found}; it may hold something "
        f"else. Give another folder or remove it yourself."
    )


def _recover(output: Path, previous: Path) -> None:
    if not previous.exists():
        return
    if output.exists():
        shutil.rmtree(previous)
    else:
        previous.rename(output)


def _swap(partial: Path, output: Path, previous: Path) -> None:
    if output.exists():
        output.rename(previous)
    partial.rename(output)
    _sync_path(output.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync_path(path)
    _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
