"""One writer per run: the output folder is locked while a run is open."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from megatron_bio.config.errors import UserError
from megatron_bio.parallel.agreement import failure_on_first_rank

LOCK = ".lock"


@contextmanager
def locked_output(output: Path) -> Iterator[None]:
    """Make the run's folder and hold its lock; all ranks call it, and all raise `UserError` if rank 0 cannot have it.

    The system frees the lock when the process ends, however it ends.
    """
    with ExitStack() as held:
        if failure := failure_on_first_rank(lambda: held.callback(os.close, _lock(output))):
            raise UserError(
                f"training.output {output}: expected a folder of this run alone; found: {failure}."
            )
        yield


def _lock(output: Path) -> int:
    output.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(output / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(errno.EBUSY, "another process is training in it; wait for it or end it") from None
    return descriptor
