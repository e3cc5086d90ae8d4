"""Encode batches in several processes, in order, with bounded memory, and without a way to hang.

Each worker has one pipe and one batch at a time: batch i goes to worker i modulo their number, and results are taken in
the same round, so their order is that of the batches. A worker that dies closes its pipe, which ends the parent's wait;
a parent that dies closes the pipes, which ends the workers. They are spawned, not forked: threads of the tokenizers
library do not survive a fork.
"""

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from megatron_bio.tokens.encoding import Batch, EncodedBatch, Encoder
from megatron_bio.tokens.errors import PreprocessError

SECONDS_TO_END = 5.0


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    place: str = ""
    """The batch it works on; empty when it is idle."""

    def send(self, batch: Batch) -> None:
        self.place = batch.place
        try:
            self.pipe.send(batch)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> EncodedBatch:
        try:
            result: EncodedBatch = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        self.place = ""
        return result

    def _death(self) -> PreprocessError:
        self.process.join(SECONDS_TO_END)
        code = self.process.exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            remedy = "If memory ran out (see dmesg), use fewer --workers."
        else:
            how = f"ended with exit code {code}"
            remedy = "Its own report stands above."
        return PreprocessError(
            f"--workers: expected every worker to finish, but worker process {self.process.pid} {how} while it tokenised "
            f"{self.place}. {remedy} No output was changed."
        )


def encode_in_order(
    encoder: Encoder, batches: Iterable[Batch], workers: int
) -> Generator[EncodedBatch, None, None]:
    """Results in the order of the batches; close the iterator to end the workers early.

    Raises PreprocessError if a worker dies. One worker is this process itself.
    """
    if workers == 1:
        yield from map(encoder.encode, batches)
        return
    pool: list[_Worker] = []
    try:
        turn = 0
        for batch in batches:
            if len(pool) < workers:
                pool.append(_start(encoder))
                pool[-1].send(batch)
                continue
            # The next batch is at hand before a worker is waited for, so the worker does not wait for the reader.
            result = pool[turn].receive()
            pool[turn].send(batch)
            turn = (turn + 1) % workers
            yield result
        for worker in pool[turn:] + pool[:turn]:
            yield worker.receive()
    finally:
        _end(pool)


def _start(encoder: Encoder) -> _Worker:
    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe()
    process = context.Process(target=_work, args=(other_end, encoder), daemon=True)
    process.start()
    other_end.close()
    return _Worker(process, pipe)


def _end(pool: list[_Worker]) -> None:
    for worker in pool:
        worker.pipe.close()
        if worker.place:
            worker.process.terminate()
    for worker in pool:
        worker.process.join(SECONDS_TO_END)
        worker.process.kill()


def _work(pipe: Connection, encoder: Encoder) -> None:
    """Answer each batch until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # One core per worker.
    while True:
        try:
            batch = pipe.recv()
        except EOFError:
            return
        result = encoder.encode(batch)
        try:
            pipe.send(result)
        except OSError:
            return
