"""Ending a run between two steps when a signal asks for it."""

import signal
from types import FrameType

import torch
import torch.distributed as dist

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Notes SIGTERM and SIGINT while it is open, so that the loop can save and end instead of dying in a step.

    The second signal of a kind ends the process at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._asked = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, self._previous[number])

    def requested(self) -> bool:
        """Return whether any rank got a signal; all ranks call it at the same step and get the same answer."""
        flag = torch.tensor(int(self._asked), device=self._device)
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag.item())
