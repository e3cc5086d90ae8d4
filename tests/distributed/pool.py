"""One pool of gloo workers for all distributed tests: a case costs a new process group, not a new process.

A worker that fails or a case that outlasts its time ends the pool; the next case starts a fresh one.
"""

import gc
import multiprocessing
import multiprocessing.connection
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class CaseFailedError(AssertionError):
    """A rank raised, died or hung; the message has the traceback of the rank that failed first."""


def _worker(connection: multiprocessing.connection.Connection, rank: int) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    while True:
        ranks, store, function, args, limit = connection.recv()
        try:
            dist.init_process_group(
                "gloo",
                store=dist.FileStore(store, ranks),
                rank=rank,
                world_size=ranks,
                timeout=timedelta(seconds=limit),
            )
            result = function(*args)
            dist.barrier()
            connection.send((True, result))
        except BaseException:  # noqa: BLE001 - whatever happened is the parent's to report
            connection.send((False, traceback.format_exc()))
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            gc.collect()


class Pool:
    """Workers 0..n-1; `run` uses as many as a case needs."""

    def __init__(self) -> None:
        # The server imports torch once and the workers are forked from it: eight of them start in seconds.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["torch", "torch.distributed.fsdp", "torch.distributed.checkpoint"]
        )
        self._workers: list[tuple[Any, multiprocessing.connection.Connection]] = []

    def run(self, function: Callable[..., Any], ranks: int, *args: Any, limit: float = 120.0) -> list[Any]:
        """Call `function(*args)` on `ranks` ranks and return their results in order of rank.

        `function` must be at the top of a module under tests/. `limit` is in seconds.
        """
        while len(self._workers) < ranks:
            self._start(len(self._workers))
        with tempfile.TemporaryDirectory() as folder:
            for _, connection in self._workers[:ranks]:
                connection.send((ranks, f"{folder}/store", function, args, limit))
            return self._collect(ranks, time.monotonic() + limit)

    def _start(self, rank: int) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_worker, args=(there, rank), daemon=True)
        process.start()
        there.close()
        self._workers.append((process, here))

    def _collect(self, ranks: int, deadline: float) -> list[Any]:
        results: dict[int, Any] = {}
        waiting = {connection: rank for rank, (_, connection) in enumerate(self._workers[:ranks])}
        while waiting:
            ready = multiprocessing.connection.wait(
                list(waiting), timeout=max(0.0, deadline - time.monotonic())
            )
            if not ready:
                self.close()
                raise CaseFailedError(
                    f"ranks {sorted(waiting.values())} did not answer in time; the others were done"
                )
            for connection in ready:
                rank = waiting.pop(connection)
                try:
                    good, value = connection.recv()
                except EOFError:
                    good, value = False, "the process died"
                if not good:
                    self.close()
                    raise CaseFailedError(f"rank {rank} failed:\n{value}")
                results[rank] = value
        return [results[rank] for rank in range(ranks)]

    def close(self) -> None:
        """Kill the workers."""
        for process, connection in self._workers:
            process.kill()
            process.join()
            connection.close()
        self._workers = []
