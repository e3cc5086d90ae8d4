"""Jobs of several ranks for the tests that end them by force."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Return the environment of a rank: this checkout, and one thread each."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def recipe(folder: Path, output: str, **training: Any) -> Path:
    """Write the recipe of a tiny GPT on `folder`'s data, tensor parallel 2, and return its path."""
    content = {
        "model": {
            "architecture": "gpt",
            "num_layers": 2,
            "hidden_size": 32,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
        },
        "data": {
            "prefixes": [str(folder / "tokens")],
            "tokenizer": str(folder / "vocabulary"),
            "sequence_length": 32,
            "split": [0.8, 0.2, 0.0],
        },
        "parallel": {"tensor_parallel": 2},
        "optimizer": {"lr": 1e-3, "warmup_steps": 2},
        "training": {
            "output": str(folder / output),
            "train_steps": 12,
            "global_batch_size": 4,
            "micro_batch_size": 2,
            "precision": "fp32",
            "device": "cpu",
            "log_interval": 1,
            "evaluation_interval": 0,
            "evaluation_rows": 4,
            "checkpoint_interval": 2,
            **training,
        },
    }
    path = folder / f"{output}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


class Job:
    """Ranks that run; `statuses` waits for their end."""

    def __init__(self, server: "subprocess.Popen[str]", pids: list[int]) -> None:
        self.pids = pids
        self._statuses: list[int] = []
        self._reader = threading.Thread(target=self._read, args=(server,), daemon=True)
        self._reader.start()

    def _read(self, server: "subprocess.Popen[str]") -> None:
        assert server.stdout is not None
        if line := server.stdout.readline():
            self._statuses = json.loads(line)

    def running(self) -> bool:
        return self._reader.is_alive()

    def statuses(self, limit: float = 120.0) -> list[int]:
        self._reader.join(limit)
        assert not self.running(), f"the ranks {self.pids} did not end"
        return self._statuses

    def send(self, rank: int, number: signal.Signals) -> None:
        """Send a signal to a rank; one that has ended already gets none."""
        if self.running():
            os.kill(self.pids[rank], number)


class Jobs:
    """Starts jobs from one fork server."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.training.fork_server"]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
        )
        self._last: Job | None = None

    def start(self, recipe: Path, log: Path, ranks: int = 4) -> Job:
        """Run `pretrain --config recipe` on `ranks` ranks; their stdout and stderr are appended to `log`."""
        assert self._server.stdin is not None and self._server.stdout is not None
        job = {"words": ["pretrain", "--config", str(recipe)], "ranks": ranks, "log": str(log)}
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        self._last = Job(self._server, json.loads(self._server.stdout.readline()))
        return self._last

    def close(self) -> None:
        """End what still runs."""
        if self._last is not None and self._last.running():
            for pid in self._last.pids:
                os.kill(pid, signal.SIGKILL)
        self._server.kill()
        self._server.wait()
