"""Two torchrun agents on this machine stand for two nodes; one is lost, the other ends, and both continue the run."""

import subprocess
import time
from pathlib import Path

import pytest

from megatron_bio.checkpoint.find import complete_checkpoints, folder_step
from tests.distributed.tiny_run import make_data
from tests.training.jobs import recipe
from tests.training.processes import free_port, kill_tree, torchrun

LIMIT = 120.0


def start(recipe: Path, logs: list[Path], *words: str) -> "list[subprocess.Popen[bytes]]":
    """Start both agents, two ranks each, with a rendezvous of their own."""
    meeting = ["--nnodes", "2", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-id", "two-nodes"]
    meeting += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    command = [*meeting, "-m", "megatron_bio", "pretrain", "--config", str(recipe), *words]
    return [torchrun(*command, log=log) for log in logs]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [pytest.param(0, id="first"), pytest.param(1, id="second")])
def test_a_lost_node_ends_the_job_and_both_continue_it(tmp_path: Path, lost: int) -> None:
    make_data(tmp_path, "gpt")
    path = recipe(tmp_path, "run", train_steps=100_000)
    logs = [tmp_path / "node-0.log", tmp_path / "node-1.log"]
    nodes = start(path, logs)
    checkpoints = tmp_path / "run" / "checkpoints"
    try:
        while len(complete_checkpoints(checkpoints)) < 2:
            assert [node.poll() for node in nodes] == [None, None], [log.read_text() for log in logs]
            time.sleep(0.05)
        kill_tree(nodes[lost])
        assert nodes[1 - lost].wait(LIMIT) != 0
        told = logs[1 - lost].read_text(encoding="utf-8")
        assert "megatron-bio pretrain: error: another rank ended first, so this one ends too" in told
        step = folder_step(complete_checkpoints(checkpoints)[-1])
        nodes = start(path, logs, "--training.stop_at_step", str(step + 2))
        assert [node.wait(LIMIT) for node in nodes] == [0, 0], [log.read_text() for log in logs]
    finally:
        for node in nodes:
            if node.poll() is None:
                kill_tree(node)
    assert any(f"Continuing after step {step} of" in log.read_text() for log in logs)
    assert folder_step(complete_checkpoints(checkpoints)[-1]) == step + 2
