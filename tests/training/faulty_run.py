"""`pretrain` with a fault: `python -m tests.training.faulty_run FAULT RANK STEP [options of pretrain]`."""

import ctypes
import os
import signal
import sys
import time
from typing import Any

import megatron_bio.training.pretrain as training
from megatron_bio.cli import main


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise ZeroDivisionError("broken on purpose")


def hang() -> None:
    time.sleep(1000)


def hang_with_the_interpreter_lock() -> None:
    ctypes.PyDLL(None).sleep(1000)


FAULTS = {function.__name__: function for function in (die, fail, hang, hang_with_the_interpreter_lock)}


def faulty(fault: str, rank: int, step: int) -> type[training.Run]:
    class FaultyRun(training.Run):
        def _step(self, *args: Any) -> Any:
            if (self.world.rank, self.progress.step) == (rank, step):
                FAULTS[fault]()
            return super()._step(*args)

    return FaultyRun


if __name__ == "__main__":
    fault, rank, step, *words = sys.argv[1:]
    training.Run = faulty(fault, int(rank), int(step))  # type: ignore[misc]
    sys.exit(main(["pretrain", *words]))
