"""What a run measures between two log lines: means of losses, speed, memory and waiting."""

import math
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from megatron_bio.training.step import StepResult

_Item = TypeVar("_Item")
_GIB = 2.0**30


def averages(names: tuple[str, ...], num_losses: int, result: StepResult) -> dict[str, float]:
    """Turn sums into means: each loss over its predictions in nats, each count of right predictions into an accuracy.

    A metric without predictions (sentence order in a corpus of one-sentence documents) is left out.
    """
    sums, counts = result.sums.tolist(), result.counts.tolist()
    means = {}
    for index, name in enumerate(names):
        count = counts[index % num_losses]
        if count:
            means[name.replace("_correct", "_accuracy")] = sums[index] / count
    losses = [value for name, value in means.items() if name.endswith("_loss")]
    return means | ({"loss": sum(losses)} if losses else {})


class Window:
    """What has happened since the last log line."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: Tensor | None = None
        self._counts: Tensor | None = None
        self._norm: float | None = None
        self._tokens = 0
        self._waited = 0.0
        self._start = time.perf_counter()

    def add(self, result: StepResult, new_tokens: int) -> None:
        """Add a step; one that was skipped counts in the means only if its losses are finite."""
        self._tokens += new_tokens
        if result.made:
            self._norm = result.gradient_norm
        elif not torch.isfinite(result.sums).all():
            return
        self._sums = result.sums if self._sums is None else self._sums + result.sums
        self._counts = result.counts if self._counts is None else self._counts + result.counts

    def waiting_for(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Give the items and count the time that each takes to come."""
        iterator = iter(items)
        while True:
            entered = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self._waited += time.perf_counter() - entered
            yield item

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside out of the tokens per second."""
        entered = time.perf_counter()
        yield
        self._start += time.perf_counter() - entered

    def values(
        self, names: tuple[str, ...], num_losses: int, lr: float, device: torch.device
    ) -> dict[str, float]:
        """Return the averages over the window, and start the next one; all ranks call it.

        data_wait, the part of the time in which the loop had no batch, and peak_memory_gib are those of the rank with most.
        """
        seconds = max(time.perf_counter() - self._start, 1e-9)
        means = {}
        if self._sums is not None and self._counts is not None:
            means = averages(names, num_losses, StepResult(self._sums, self._counts, 0.0))
        norm = {} if self._norm is None else {"grad_norm": self._norm}
        waited, memory = largest_over_ranks([self._waited / seconds, peak_memory(device) / _GIB], device)
        speed = {
            "tokens_per_second": self._tokens / seconds,
            "data_wait": waited,
            "peak_memory_gib": memory,
        }
        self._clear()
        return means | {"lr": lr} | norm | speed


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that torch had allocated on the GPU, or on a CPU that the process had resident, since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def largest_over_ranks(values: list[float], device: torch.device) -> list[float]:
    """Return each value's maximum over all ranks; all call it."""
    tensor = torch.tensor([value if math.isfinite(value) else 0.0 for value in values], device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.tolist()
