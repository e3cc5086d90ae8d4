"""A process that has torch loaded and forks the ranks of a job from itself, each running the real command line.

It stands for torchrun where a test starts many jobs: the same environment variables, and when one rank ends with
another status than 0 the others are killed. Run as `python -m tests.training.fork_server`; a line of JSON on stdin starts
a job, two lines on stdout answer: the process ids, and at its end the exit statuses.
"""

import json
import os
import signal
import socket
import sys
from typing import Any

import torch.distributed.checkpoint
import torch.distributed.fsdp  # noqa: F401 - loaded once for all ranks

import megatron_bio.training.pretrain  # noqa: F401
from megatron_bio.cli import main


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(job: dict[str, Any], rank: int, port: int) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(job["ranks"]))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        status = main(job["words"])
    finally:
        sys.stdout.flush()
        os._exit(status)  # as a child of a fork it must not run its parent's exit handlers


def wait(pids: list[int]) -> list[int]:
    """Return the exit statuses, minus the signal's number where a signal ended a rank."""
    statuses: dict[int, int] = {}
    while len(statuses) < len(pids):
        pid, raw = os.wait()
        statuses[pid] = os.waitstatus_to_exitcode(raw)
        if statuses[pid]:
            for other in set(pids) - statuses.keys():
                os.kill(other, signal.SIGKILL)
    return [statuses[pid] for pid in pids]


def serve() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        port = free_port()
        pids = [start(job, rank, port) for rank in range(job["ranks"])]
        print(json.dumps(pids), flush=True)
        print(json.dumps(wait(pids)), flush=True)


if __name__ == "__main__":
    serve()
