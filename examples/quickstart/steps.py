"""Running commands one after another, each once: what is printed is kept, and a finished step is not run again."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """A command with a title; `torchrun`, `megatron-bio` and `python` mean those of this environment."""

    title: str
    command: Sequence[str | Path]
    product: Path
    """What the command makes; when it is gone the step runs again."""

    @property
    def words(self) -> list[str]:
        """The command as a person would type it."""
        return [os.path.relpath(word) if isinstance(word, Path) else word for word in self.command]


@dataclass(frozen=True)
class Record:
    """A step that was run."""

    title: str
    command: str
    seconds: float
    output: str


class StepFailedError(Exception):
    """A step ended with an error, which it has printed itself, or the user interrupted it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_steps(steps: Sequence[Step], work: Path) -> list[Record]:
    """Run what is not done yet and return the records of all steps in order.

    A step's stamp carries the stamps before it: when a step runs anew, so does everything after it.
    """
    stamps = work / "steps"
    stamps.mkdir(exist_ok=True)
    records, chain = [], ""
    for number, step in enumerate(steps, 1):
        chain = hashlib.sha256(f"{chain}\n{shlex.join(step.words)}".encode()).hexdigest()
        print(f"\n== {number}/{len(steps)} {step.title}\n$ {shlex.join(step.words)}", flush=True)
        stamp = stamps / f"{number}.json"
        record = _done(stamp, chain) if step.product.exists() else None
        if record is None:
            record = _run(step, f"{number}/{len(steps)}")
            _write(stamp, {"chain": chain, **asdict(record)})
        else:
            print(record.output + f"(done before, in {record.seconds:.0f} s)", flush=True)
        records.append(record)
    return records


def _done(stamp: Path, chain: str) -> Record | None:
    try:
        content = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if content.pop("chain", None) != chain:
        return None
    return Record(**content)


def _write(stamp: Path, content: dict[str, object]) -> None:
    temporary = stamp.with_suffix(".partial")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(stamp)


def _run(step: Step, number: str) -> Record:
    """Run one command, showing and keeping its standard output; progress bars on standard error pass through."""
    start, lines = time.perf_counter(), []
    for number_of_signal in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number_of_signal, _interrupt)
    with subprocess.Popen(
        _executable(step.words), stdout=subprocess.PIPE, text=True, encoding="utf-8", env=_environment()
    ) as process:
        try:
            assert process.stdout is not None, "the pipe was asked for"
            for line in process.stdout:
                lines.append(line)
                print(line, end="", flush=True)
        except KeyboardInterrupt as interrupt:
            # The terminal sends Ctrl-C to the step too, other signals come to us alone. It saves what it has and ends.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if interrupt.args:
                process.terminate()
            process.wait()
            raise StepFailedError(
                f"step {number} was interrupted; the same command continues.", 130
            ) from None
    if process.returncode:
        raise StepFailedError(
            f"step {number} failed with exit status {process.returncode}; see its message above.", 1
        )
    return Record(step.title, shlex.join(step.words), time.perf_counter() - start, "".join(lines))


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)


def _executable(words: list[str]) -> list[str]:
    modules = {
        "megatron-bio": ["-m", "megatron_bio"],
        "torchrun": ["-m", "torch.distributed.run"],
        "python": [],
    }
    return [sys.executable, *modules[words[0]], *words[1:]]


def _environment() -> dict[str, str]:
    """One thread for each of the two ranks; no hub is asked for anything."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
