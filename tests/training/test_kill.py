"""A run cannot be lost: killed at any moment, also during a save, it continues and ends as if nothing had happened."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from megatron_bio.checkpoint.find import complete_checkpoints, folder_step
from megatron_bio.checkpoint.manifest import verify
from tests.distributed.tiny_run import make_data, tensors
from tests.training.jobs import Job, Jobs, recipe

RANKS = 4
LIMIT = 120.0
SEED = "KILL_SEED"
"""Environment variable that gives the seed of the random choices; without it every run of the tests has another."""


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    started = Jobs()
    yield started
    started.close()


def chosen_seed() -> int:
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**6))
    print(f"again with the same choices: {SEED}={seed}")  # pytest shows it when the test fails
    return seed


class Campaign:
    """One run that is ended by force again and again, beside an uninterrupted one."""

    def __init__(self, folder: Path, jobs: Jobs, seed: int) -> None:
        self.folder, self.jobs, self.random = folder, jobs, random.Random(seed)
        make_data(folder, "gpt")
        self.lap = 0
        self.started_at = 0.0
        begin = time.monotonic()
        self.finish(self.start("through"))
        self.seconds = time.monotonic() - begin
        self.expected = tensors(folder / "through")

    @property
    def output(self) -> str:
        return f"lap-{self.lap}"

    def steps(self) -> list[int]:
        """Return the steps of the complete checkpoints."""
        return [folder_step(path) for path in complete_checkpoints(self.folder / self.output / "checkpoints")]

    def start(self, output: str, **training: object) -> Job:
        path = recipe(self.folder, output, **training)
        self.log = self.folder / f"{output}.log"
        self.log.unlink(missing_ok=True)
        return self.jobs.start(path, self.log, RANKS)

    def finish(self, job: Job) -> None:
        assert job.statuses(LIMIT) == [0] * RANKS, self.log.read_text()

    def end_by(self, number: signal.Signals, when: Callable[[Job], None], **training: object) -> list[int]:
        """Start or continue the run, send a random rank a signal when `when` returns, and return the exit statuses."""
        before = self.steps()
        job = self.start(self.output, **training)
        when(job)
        job.send(self.random.randrange(RANKS), number)
        statuses = job.statuses(LIMIT)
        text = self.log.read_text()
        if before and "train      step" in text:
            assert f"Continuing after step {before[-1]} of" in text, text
        after = self.steps()
        assert after[-1:] >= before[-1:], text
        for path in complete_checkpoints(self.folder / self.output / "checkpoints"):
            assert verify(path) == [], text
        return statuses

    def any_moment(self, job: Job) -> None:
        """Return at a random moment between the start and the usual end of a run."""
        self._wait(job, self.random.uniform(0.0, self.seconds))

    def during_training(self, job: Job) -> None:
        """Return at a random moment shortly after the first step of this start."""
        while "train " not in self.log.read_text() and job.running():
            time.sleep(0.01)
        self._wait(job, self.random.uniform(0.0, 0.2))

    def during_a_save(self, job: Job) -> None:
        """Return when the temporary folder of a save has appeared beside a complete checkpoint, which could be lost."""
        root = self.folder / self.output / "checkpoints"
        left_over = self._partial(root)
        while job.running() and not (self.steps() and self._partial(root) - left_over):
            time.sleep(0.001)

    def later_in_a_save(self, job: Job) -> None:
        """Return a little later, when files are written, hashed or renamed, or old checkpoints removed."""
        self.during_a_save(job)
        self._wait(job, self.random.uniform(0.0, 0.3))

    def left_partial(self) -> bool:
        return bool(self._partial(self.folder / self.output / "checkpoints"))

    @staticmethod
    def _partial(root: Path) -> set[tuple[str, int]]:
        """Return name and time of making of the temporary folders."""
        found = set()
        for path in root.glob(".step-*.partial"):
            with contextlib.suppress(FileNotFoundError):
                found.add((path.name, path.stat().st_ctime_ns))
        return found

    @staticmethod
    def _wait(job: Job, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and job.running():
            time.sleep(0.001)

    def compare(self) -> None:
        """Let the run end and compare everything it has learnt with the uninterrupted run, bit for bit."""
        self.finish(self.start(self.output))
        differences(tensors(self.folder / self.output), self.expected)
        assert self.steps() == [10, 12]


def differences(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert any(name.startswith("optimizer.") for name in found)
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_killed_and_terminated_runs_continue_bit_for_bit(jobs: Jobs, tmp_path: Path) -> None:
    run = Campaign(tmp_path, jobs, chosen_seed())
    assert -9 in run.end_by(signal.SIGKILL, run.during_a_save)
    assert run.left_partial()
    assert -9 in run.end_by(signal.SIGKILL, run.during_a_save, asynchronous_checkpoints=True)
    assert run.left_partial()
    statuses = run.end_by(signal.SIGTERM, run.during_training, asynchronous_checkpoints=True)
    assert statuses == [0] * RANKS, run.log.read_text()
    while -9 not in run.end_by(signal.SIGKILL, run.any_moment):
        run.compare()  # it had ended before
        run.lap += 1
    run.compare()


@pytest.mark.slow
def test_thirty_kills(jobs: Jobs, tmp_path: Path) -> None:
    run = Campaign(tmp_path, jobs, chosen_seed())
    moments = [run.any_moment, run.during_a_save, run.later_in_a_save]
    kills, partial = 0, 0
    while kills < 30:
        statuses = run.end_by(
            signal.SIGKILL,
            moments[kills % 3],
            asynchronous_checkpoints=run.random.random() < 0.5,
        )
        kills += -9 in statuses
        partial += run.left_partial()
        if statuses == [0] * RANKS or run.steps()[-1:] == [12]:
            run.compare()
            run.lap += 1
    run.compare()
    assert partial >= 10
