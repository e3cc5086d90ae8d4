"""torchrun as users start it, and the tree of its processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.training.jobs import ROOT, environment


def torchrun(*words: str, log: Path) -> "subprocess.Popen[bytes]":
    """Start torchrun with both outputs in `log`."""
    with log.open("wb") as file:
        command = [sys.executable, "-m", "torch.distributed.run", *words]
        return subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=environment())


def wait_for(text: str, log: Path, process: "subprocess.Popen[bytes]", limit: float = 120.0) -> None:
    """Return when `text` stands in `log`."""
    end = time.monotonic() + limit
    while text not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text()}"
        assert time.monotonic() < end, f"{text!r} did not come:\n{log.read_text()}"
        time.sleep(0.02)


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    if children.exists():
        for child in children.read_text(encoding="ascii").split():
            found += tree(int(child))
    return found


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all that descend from it, as the loss of a machine does."""
    for pid in tree(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
