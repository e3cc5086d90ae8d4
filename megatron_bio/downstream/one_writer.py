"""One command at a time writes results into a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError

LOCK = ".lock"


@contextmanager
def one_writer(output: Path) -> Iterator[None]:
    """Make the folder and hold its lock, which the system frees when the process ends, however it ends.

    Raises ConfigurationError if another process has it: both would make the same runs, and the later results.json would lack
    what the earlier one has.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _taken(descriptor, path):
            raise ConfigurationError(
                f"--output {output}: expected no other command that writes into it, found one that is still on. Wait for it or "
                "end it, or give another folder."
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The command that had it may have removed the file since it was opened here.
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
