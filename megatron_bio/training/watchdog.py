"""A rank that makes no progress says where it stands and ends, so that the job ends and can be started again."""

import faulthandler
import linecache
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeVar

Item = TypeVar("Item")

EXIT_STATUS = 124
GRACE = timedelta(seconds=5)
"""From the report to the end of the process: torchrun ends all ranks as soon as one has ended, and each shall report."""
_PACKAGE = Path(__file__).parents[1]
_OWN_THREADS = ("checkpoint", "prefetch")


class Watchdog:
    """Ends this process when, while it is open, `timeout_minutes` pass without a beat.

    Every rank then has stopped, for they wait for each other: one that waits in a collective tells that in a line, and
    the one that they wait for shows the Python traceback of its main thread. A thread that holds the interpreter lock stops
    this one too; then faulthandler writes all tracebacks, some seconds later.
    """

    def __init__(self, timeout_minutes: float, rank: int, ranks: int, *, active: bool = True) -> None:
        self._seconds = timeout_minutes * 60.0
        self._name = f"rank {rank} of {ranks}"
        self._active = active
        self._changed = threading.Event()
        self._last = time.monotonic()
        self._done = "the start of training"
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self, done: str) -> None:
        """Note progress: what was just done."""
        self._last, self._done = time.monotonic(), done

    def beats(self, items: Iterable[Item], what: str) -> Iterator[Item]:
        """Yield `items`, with a beat before each."""
        for number, item in enumerate(items):
            self.beat(f"{what}, batch {number}")
            yield item

    def __enter__(self) -> "Watchdog":
        if self._active:
            self._main = threading.get_ident()
            self.beat(self._done)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if self._active:
            self._changed.set()
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while (left := self._last + self._seconds - time.monotonic()) > 0:
            # Armed anew on each round, so it goes off only if this thread no longer gets a turn.
            faulthandler.dump_traceback_later(left + 2 * GRACE.total_seconds(), exit=True, file=2)
            if self._changed.wait(left):
                return
        os.write(2, self._report().encode(errors="backslashreplace"))
        if not self._changed.wait(GRACE.total_seconds()):
            os._exit(EXIT_STATUS)

    def _report(self) -> str:
        frames = sys._current_frames()
        head = (
            f"{self._name}: no step was finished for {self._seconds / 60:g} minutes (parallel.timeout_minutes) after "
            f"{self._done}"
        )
        place = f"({socket.gethostname()}, process {os.getpid()})"
        main = frames[self._main]
        if _waits_for_ranks(main):
            return f"{head}; it waits for other ranks in {main.f_code.co_name}, called from {_own_calls(main)} {place}\n"
        lines = [f"{head}; it stands here {place}:\n", *traceback.format_stack(main)]
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is not None and thread.name.startswith(_OWN_THREADS) and not _is_idle(frame):
                lines += [f"its thread {thread.name}:\n", *traceback.format_stack(frame)]
        return "".join(lines)


def _waits_for_ranks(frame: FrameType) -> bool:
    """Return whether a stack ends in a collective of torch's, or in waiting for one, which is no Python frame of its own."""
    file = frame.f_code.co_filename
    if "torch/distributed/" in file and "torch/distributed/checkpoint/" not in file:
        return True
    return linecache.getline(file, frame.f_lineno).strip() == "work.wait()"


def _is_idle(frame: FrameType) -> bool:
    """Return whether a thread of a ThreadPoolExecutor waits for work."""
    return frame.f_code.co_filename.endswith("concurrent/futures/thread.py")


def _own_calls(frame: FrameType) -> str:
    """Return where in this package a stack stands, innermost first: `file:line function < its caller < …`."""
    own = [entry for entry in traceback.extract_stack(frame) if Path(entry.filename).is_relative_to(_PACKAGE)]
    return " < ".join(f"{Path(entry.filename).name}:{entry.lineno} {entry.name}" for entry in reversed(own))
