"""What a run reports: one JSON object per log interval and evaluation, a line for people, curves."""

import json
import math
import os
import sys
import time
from collections.abc import Sequence
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

from megatron_bio.training.boards import Board

LOG = "log.jsonl"
_FEW_DIGITS = 1e-3


class RunLog:
    """Writes on the first rank only; elsewhere every call does nothing."""

    def __init__(
        self, output: Path, active: bool, train_steps: int, step: int, boards: Sequence[Board] = ()
    ) -> None:
        self._active = active
        self._train_steps = train_steps
        self._boards = boards
        if not active:
            return
        output.mkdir(parents=True, exist_ok=True)
        _forget_after(output / LOG, step)
        self._file: TextIO = (output / LOG).open("a", encoding="utf-8")
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
        """Record values of a step: `kind` is train or validation. What is not finite is null in the file."""
        if not self._active:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        record = {"kind": kind, "step": step, "time": time.time(), **finite}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for board in self._boards:
            board.add(kind, step, values)
        shown = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
        self.note(f"{kind:10} step {step:>7}/{self._train_steps}  {shown}")

    def close(self) -> None:
        """Flush everything."""
        if self._active:
            self._bar.stop()
            os.fsync(self._file.fileno())
            self._file.close()
            for board in self._boards:
                board.close()


def _short(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 1e12:
        return f"{value:.2e}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2e}" if 0 < abs(value) < _FEW_DIGITS else f"{value:.4f}"


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
