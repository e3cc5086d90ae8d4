"""What a run reports: one JSON object per log interval and evaluation, a line for people, TensorBoard curves."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard import SummaryWriter

from megatron_bio.models.parts import ModelParts
from megatron_bio.training.step import StepResult

LOG = "log.jsonl"


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
    means["loss"] = sum(value for name, value in means.items() if name.endswith("_loss"))
    return means


class Window:
    """What has happened since the last log line."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._result: StepResult | None = None
        self._tokens = 0
        self._start = time.perf_counter()

    def add(self, result: StepResult, new_tokens: int) -> None:
        """Add a step."""
        before = self._result
        if before is not None:
            result = StepResult(
                before.sums + result.sums, before.counts + result.counts, result.gradient_norm
            )
        self._result = result
        self._tokens += new_tokens

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside out of the tokens per second."""
        entered = time.perf_counter()
        yield
        self._start += time.perf_counter() - entered

    def values(self, model: ModelParts, lr: float) -> dict[str, float]:
        """Return the averages over the window, and start the next one."""
        assert self._result is not None, "no step since the last log line"
        seconds = time.perf_counter() - self._start
        values = averages(model.metric_names, model.num_losses, self._result)
        values |= {
            "lr": lr,
            "grad_norm": self._result.gradient_norm,
            "tokens_per_second": self._tokens / seconds,
        }
        self._clear()
        return values


class RunLog:
    """Writes on the first rank only; elsewhere every call does nothing."""

    def __init__(self, output: Path, active: bool, train_steps: int, step: int) -> None:
        self._active = active
        self._train_steps = train_steps
        if not active:
            return
        output.mkdir(parents=True, exist_ok=True)
        _forget_after(output / LOG, step)
        self._file: TextIO = (output / LOG).open("a", encoding="utf-8")
        self._board = SummaryWriter(output / "tensorboard", purge_step=step + 1)
        self._bar = Progress(
            TextColumn("pretrain"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("pretrain", total=train_steps, completed=step)
        self._bar.start()

    def note(self, text: str) -> None:
        """Print a line."""
        if self._active:
            print(text, flush=True)

    def advance(self, step: int) -> None:
        """Move the progress bar."""
        if self._active:
            self._bar.update(self._task, completed=step)

    def write(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Record values of a step: `kind` is train or validation."""
        if not self._active:
            return
        record = {"kind": kind, "step": step, "time": time.time(), **values}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)
        shown = "  ".join(f"{name} {_short(name, value)}" for name, value in values.items())
        self.note(f"{kind:10} step {step:>7}/{self._train_steps}  {shown}")

    def close(self) -> None:
        """Flush everything."""
        if self._active:
            self._bar.stop()
            os.fsync(self._file.fileno())
            self._file.close()
            self._board.close()


def _short(name: str, value: float) -> str:
    if name == "lr":
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _forget_after(path: Path, step: int) -> None:
    """Drop the records after `step`, which a resumed run will write again, and a line that a kill cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = _parsed(line)
        if record.get("step", math.inf) <= step:
            kept.append(line + "\n")
    temporary = path.with_suffix(".partial")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


def _parsed(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
