"""Worker processes: none is left over, none is waited for in vain, none runs ahead, and results come in order."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.workers import TASKS_AHEAD_PER_WORKER, WorkerDiedError, map_in_order


@dataclass(frozen=True)
class Item:
    number: int
    place: str = "item"


def work(item: Item) -> int:
    """Its square; odd ones take longer, so that results come out of order. Some places are traps."""
    if item.place == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if item.place == "ended":
        os._exit(3)
    if item.place == "raised":
        raise RuntimeError("a defect")
    if item.place == "refused":
        raise DamagedFileError(Path("x.xml"), "reason", "message")
    time.sleep(0.02 * (item.number % 2))
    return item.number**2


@pytest.fixture(autouse=True)
def others() -> Iterator[set[int | None]]:
    """The processes that other tests keep for later; none of ours is left after a test."""
    before = {child.pid for child in multiprocessing.active_children()}
    yield before
    assert not [child for child in multiprocessing.active_children() if child.pid not in before]


def own_children(others: set[int | None]) -> list[multiprocessing.Process]:
    return [child for child in multiprocessing.active_children() if child.pid not in others]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_are_in_the_order_of_the_tasks(workers: int) -> None:
    assert list(map_in_order(work, map(Item, range(40)), workers)) == [number**2 for number in range(40)]
    assert list(map_in_order(work, [], workers)) == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("killed", "was killed by SIGKILL while it worked on killed. If memory ran out"),
        ("ended", "ended with exit code 3 while it worked on ended. Its own report stands above"),
        ("raised", "ended with exit code 1 while it worked on raised"),
    ],
)
def test_a_worker_that_dies_ends_the_job(how: str, words: str) -> None:
    tasks = [Item(number, how if number == 2 else str(number)) for number in range(23)]
    started = time.monotonic()
    with pytest.raises(WorkerDiedError, match=words):
        list(map_in_order(work, tasks, 2))
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_user_is_raised_in_its_turn(workers: int) -> None:
    tasks = [Item(number, "refused" if number == 3 else "item") for number in range(9)]
    results = map_in_order(work, tasks, workers)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(CorpusError, match=r"x\.xml: message") as raised:
        next(results)
    assert isinstance(raised.value, DamagedFileError) and raised.value.reason == "reason"


def test_an_error_of_the_tasks_ends_the_workers() -> None:
    def tasks() -> Iterator[Item]:
        yield from map(Item, range(4))
        raise CorpusError("no more")

    with pytest.raises(CorpusError, match="no more"):
        list(map_in_order(work, tasks(), 2))


def test_closing_early_ends_the_workers(others: set[int | None]) -> None:
    results = map_in_order(work, map(Item, range(9)), 2)
    next(results)
    assert len(own_children(others)) == 2
    results.close()
    assert not own_children(others)


def test_answers_that_nobody_reads_are_no_defect(
    others: set[int | None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As after Ctrl-C: the parent closes its pipes with answers in them, and a worker may notice before it is ended."""
    results = map_in_order(work, map(Item, range(20)), 2)
    assert next(results) == 0
    time.sleep(0.5)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "terminate", lambda process: None)
    results.close()
    assert capfd.readouterr().err == ""


def test_idle_workers_end_by_themselves(others: set[int | None]) -> None:
    results = map_in_order(work, map(Item, range(3)), 2)
    next(results)
    children = own_children(others)
    assert len(children) == 2
    assert len(list(results)) == 2
    assert [child.exitcode for child in children] == [0, 0]


def test_tasks_are_taken_only_as_workers_need_them() -> None:
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield Item(read)

    results = map_in_order(work, endless(), 2)
    for taken in range(1, 12):
        next(results)
        assert read <= taken + 2 * TASKS_AHEAD_PER_WORKER
    results.close()


def is_running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


PROGRAM = """
import multiprocessing, signal, sys, time
from dataclasses import dataclass
from megatron_bio.corpus.workers import map_in_order

@dataclass
class Task:
    seconds: float
    place: str = "task"

def sleep(task):
    time.sleep(task.seconds)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs are started without.
    results = map_in_order(sleep, [Task(0), Task(0), Task(300), Task(300)], 2)
    next(results), next(results)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    next(results)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_at_once_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(program)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as parent:
        try:
            assert parent.stdout is not None and parent.stderr is not None
            children = [int(word) for word in parent.stdout.readline().split()]
            assert len(children) == 2 and all(map(is_running, children))
            parent.send_signal(number)
            deadline = time.monotonic() + 10
            while any(map(is_running, children)):
                assert time.monotonic() < deadline, (
                    "expected the workers to end with their parent, in mid-task"
                )
                time.sleep(0.02)
            assert parent.stderr.read().count("Traceback") == (number == signal.SIGINT), (
                "only the parent's own"
            )
        finally:
            parent.kill()
