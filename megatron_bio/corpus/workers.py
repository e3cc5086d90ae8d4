"""Work on tasks in several processes: results in the order of the tasks, bounded memory, no way to hang.

Each worker has one pipe and one task at a time; whichever is free gets the next task, and a result waits until those
before it were taken. A worker that dies closes its pipe, which ends the parent's wait; a worker whose parent dies ends at
once, in the middle of its task. They are spawned, not forked: threads of libraries do not survive a fork.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from megatron_bio.config.errors import UserError

# Loaded where it is used: most runs have one worker, and it takes longer to load than a small file to read.
if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

SECONDS_TO_END = 5.0
TASKS_AHEAD_PER_WORKER = 4


class Task(Protocol):
    """Something to work on; it travels to another process by pickle."""

    @property
    def place(self) -> str:
        """What it is, for messages: `documents 1 to 900`."""


TaskType = TypeVar("TaskType", bound=Task)
Result = TypeVar("Result")


class WorkerDiedError(UserError):
    """A worker process ended before its task was done."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    index: int = -1
    """Which task it works on; -1 when it is idle."""
    place: str = ""

    def send(self, index: int, task: Task) -> None:
        self.index, self.place = index, task.place
        try:
            self.pipe.send(task)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> tuple[int, Any]:
        """The number of its task and what came of it."""
        try:
            outcome = self.pipe.recv()
        except (EOFError, OSError) as failure:
            raise self._death() from failure
        index, self.index, self.place = self.index, -1, ""
        return index, outcome

    def _death(self) -> WorkerDiedError:
        self.process.join(SECONDS_TO_END)
        code = self.process.exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            remedy = "If memory ran out (see dmesg), use fewer --workers."
        else:
            how = f"ended with exit code {code}"
            remedy = "Its own report stands above."
        return WorkerDiedError(
            f"--workers: expected every worker to finish, but worker process {self.process.pid} {how} while it worked on "
            f"{self.place}. {remedy} No output was changed."
        )


@dataclass
class _Pool(Generic[TaskType, Result]):
    """Worker processes with the tasks that they work on and the results that nobody took yet."""

    work: Callable[[TaskType], Result]
    tasks: Iterator[tuple[int, TaskType]]
    size: int
    workers: list[_Worker] = field(default_factory=list)
    ready: dict[int, Result | UserError] = field(default_factory=dict)
    started: int = 0
    taken: int = 0
    more: bool = True

    def feed(self) -> None:
        """Give every idle worker a task, unless the oldest result lies too far back."""
        while self.more and self.started - self.taken < self.size * TASKS_AHEAD_PER_WORKER:
            idle = next((worker for worker in self.workers if worker.index < 0), None)
            if idle is None and len(self.workers) == self.size:
                return
            entry = next(self.tasks, None)
            if entry is None:
                self.more = False
                return
            if idle is None:
                idle = _start(self.work)
                self.workers.append(idle)
            idle.send(*entry)
            self.started += 1

    def collect(self) -> None:
        """Wait for at least one result."""
        from multiprocessing.connection import wait

        busy = {worker.pipe: worker for worker in self.workers if worker.index >= 0}
        for pipe in wait(list(busy)):
            index, outcome = busy[pipe].receive()  # type: ignore[index]
            self.ready[index] = outcome


def map_in_order(
    work: Callable[[TaskType], Result], tasks: Iterable[TaskType], workers: int
) -> Generator[Result, None, None]:
    """`work` of every task, in the order of the tasks; close the iterator to end the workers early.

    `work` must be picklable, and so must each `UserError` that it raises; it is raised here in its turn. Any other exception
    ends its worker with a traceback. Raises `WorkerDiedError` if a worker dies. One worker is this process itself.
    """
    if workers == 1:
        yield from map(work, tasks)
        return
    pool = _Pool(work, enumerate(tasks), workers)
    try:
        pool.feed()
        while pool.taken < pool.started:
            while pool.taken not in pool.ready:
                pool.collect()
                pool.feed()
            outcome = pool.ready.pop(pool.taken)
            if isinstance(outcome, UserError):
                raise outcome
            pool.taken += 1
            pool.feed()
            yield outcome
    finally:
        _end(pool.workers)


def _start(work: Callable[[TaskType], Result]) -> _Worker:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe()
    process = context.Process(target=_serve, args=(other_end, work), daemon=True)
    # Ctrl-C reaches all processes of a terminal. The worker inherits that it waits, so it cannot be hit while it starts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    other_end.close()
    return _Worker(process, pipe)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
        if worker.index >= 0:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(SECONDS_TO_END)
        worker.process.kill()


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """Answer each task until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):  # a parent that ends with an answer unread resets the connection
            return
        try:
            outcome = work(task)
        except UserError as error:
            outcome = error
        try:
            pipe.send(outcome)
        except OSError:
            return


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)
