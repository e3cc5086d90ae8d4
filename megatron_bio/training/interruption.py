"""Ending a run between two steps when a signal asks for it."""

import signal
import time
from types import FrameType

import torch
import torch.distributed as dist

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME_REQUEST_SECONDS = 5.0


class Interruption:
    """Notes SIGTERM, SIGINT and SIGUSR1 while it is open, so that the loop can save and end instead of dying in a step.

    SIGTERM or SIGINT given again after five seconds ends the process at once, even where the process was started with
    the signal ignored. What comes sooner is the same request:
    SLURM signals every process of a job step, and torchrun, which is one of them, then passes the signal on to its ranks.
    SIGUSR1, which SLURM sends ahead of the end of the time limit, never ends the process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._asked_at: float | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif number != signal.SIGUSR1 and now - self._asked_at > SAME_REQUEST_SECONDS:
            previous = self._previous[number]
            signal.signal(number, signal.SIG_DFL if previous is signal.SIG_IGN else previous)
            signal.raise_signal(number)

    def requested(self) -> bool:
        """Return whether any rank got a signal; all ranks call it at the same step and get the same answer."""
        flag = torch.tensor(int(self._asked_at is not None), device=self._device)
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag.item())
