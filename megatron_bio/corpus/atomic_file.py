"""A file appears under its name complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from megatron_bio.corpus.errors import CorpusError


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write to; on leaving without an error it is synced to disk and takes the place of `path`.

    On any error, also an interrupt, the temporary file is removed and an earlier file under `path` stays as it was.
    A kill leaves the temporary file `.NAME.PROCESS.tmp` beside it. Raises CorpusError where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be written: {error.strerror or error}. Nothing under that name was changed; "
            "check the free space and the permissions of the folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # Without this a power cut can undo the rename although the content is on disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
