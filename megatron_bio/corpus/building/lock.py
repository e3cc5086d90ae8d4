"""One writer per corpus: its work folder is locked while a run is on."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megatron_bio.corpus.errors import CorpusError

LOCK = ".lock"


@contextmanager
def locked(folder: Path, output: Path) -> Iterator[None]:
    """Holds the lock of a work folder; raises CorpusError if another run has it.

    The system frees the lock when the process ends, however it ends.
    """
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The run that had it may have removed the folder since it was opened here.
            is_current = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
        except BlockingIOError:
            is_current = False
        if not is_current:
            raise CorpusError(
                f"--output {output}: another run is building it; wait for it or end it, then start again."
            )
        yield
    finally:
        os.close(descriptor)
