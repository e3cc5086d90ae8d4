"""One pool of gloo workers for all distributed tests: a case costs a new process group, not a new process.

A rank that raises fails its case and stays for the next one. A rank that dies or does not answer in time ends the pool; the next
case starts a fresh one.
"""

import gc
import multiprocessing
import multiprocessing.connection
import pickle
import re
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
    from torch.distributed.tensor._collective_utils import MeshTopoInfo
    from torch.distributed.tensor._redistribute import _gen_transform_infos, clear_redistribute_planner_cache
    from torch.distributed.tensor.debug import _clear_sharding_prop_cache

    torch.set_num_threads(1)
    while True:
        ranks, store, function, args, limit = connection.recv()
        gc.freeze()  # what is here by now stays; looking through all of torch after each case took a tenth of the time
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
            # By value: the connection itself would pass each tensor as an open file, and those run out.
            connection.send_bytes(pickle.dumps((True, result)))
        except BaseException:  # noqa: BLE001 - whatever happened is the parent's to report
            connection.send_bytes(pickle.dumps((False, traceback.format_exc())))
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            # DTensor remembers meshes by their shape, and would give the next case a mesh of groups that are gone.
            _clear_sharding_prop_cache()
            # And keeps them alive, with two threads for each of their groups that wake a hundred times a second.
            clear_redistribute_planner_cache()
            _gen_transform_infos.cache_clear()
            MeshTopoInfo.build_from_mesh.cache_clear()
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
        # Kept as long as the pool: a worker that closes its store in a folder that is gone waits for it to come back.
        self._stores = tempfile.TemporaryDirectory()
        self._cases = 0

    def run(self, function: Callable[..., Any], ranks: int, *args: Any, limit: float = 120.0) -> list[Any]:
        """Call `function(*args)` on `ranks` ranks and return their results in order of rank.

        `function` must be at the top of a module under tests/. `limit` is in seconds.
        """
        while len(self._workers) < ranks:
            self._start(len(self._workers))
        self._cases += 1
        store = f"{self._stores.name}/{self._cases}"
        for _, connection in self._workers[:ranks]:
            connection.send((ranks, store, function, args, limit))
        try:
            return self._collect(ranks, time.monotonic() + limit)
        except CaseFailedError:
            raise
        except BaseException:
            self.close()  # what is still on its way must not be taken for the next case's
            raise

    def _start(self, rank: int) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_worker, args=(there, rank), daemon=True)
        process.start()
        there.close()
        self._workers.append((process, here))

    def _collect(self, ranks: int, deadline: float) -> list[Any]:
        results: dict[int, Any] = {}
        failures: dict[int, str] = {}
        died = False
        waiting = {connection: rank for rank, (_, connection) in enumerate(self._workers[:ranks])}
        while waiting:
            left = max(0.0, deadline - time.monotonic())
            # After a failure the others soon fail too, for want of a peer; a moment shows who was first to blame.
            ready = multiprocessing.connection.wait(
                list(waiting), timeout=min(left, 3.0) if failures else left
            )
            if not ready:
                break
            for connection in ready:
                rank = waiting.pop(connection)
                try:
                    good, value = pickle.loads(connection.recv_bytes())
                except (EOFError, ConnectionError):
                    good, value, died = False, "the process died", True
                (results if good else failures)[rank] = value
        if died or waiting:
            self.close()
        if failures or waiting:
            raise CaseFailedError(_explanation(failures, sorted(waiting.values())))
        return [results[rank] for rank in range(ranks)]

    def close(self) -> None:
        """Kill the workers."""
        for process, connection in self._workers:
            process.kill()
            process.join()
            connection.close()
        self._workers = []


def _explanation(failures: dict[int, str], silent: list[int]) -> str:
    """Return the tracebacks, those of ranks that only lost a peer last."""
    lost = re.compile("Connection (closed|reset) by peer")
    order = sorted(failures, key=lambda rank: (bool(lost.search(failures[rank])), rank))
    lines = [f"rank {rank} failed:\n{failures[rank]}" for rank in order]
    if silent:
        lines.append(f"ranks {silent} did not answer in time")
    return "\n".join(lines)
