"""The SLURM scripts with stand-ins for SLURM's commands: how ranks are started, signalled and queued again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from tests.distributed.tiny_run import config, make_data
from tests.training.processes import kill_tree

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples/slurm/pretrain.sbatch"
LIMIT = 180.0

# srun with tasks on this machine. As srun does, it passes SIGUSR1 on, kills every process of the step at SIGTERM, and fails when
# a task fails. The ranks have sessions of their own, so they are found by what their parents are.
SRUN = """echo "$@" > "$STAND_IN/srun"
while [[ $1 == -* ]]; do shift; done
tasks=() killed=false
for ((task = 0; task < TASKS; task++)); do "$@" & tasks+=($!); done
below() { for child in $(pgrep --parent "$1"); do below "$child"; echo "$child"; done; }
trap 'kill -USR1 "${tasks[@]}"' USR1
trap 'killed=true; kill -KILL $(for task in "${tasks[@]}"; do below "$task"; done) "${tasks[@]}"' TERM
for task in "${tasks[@]}"; do
    while wait "$task"; status=$?; [ $status -gt 128 ] && ! $killed; do :; done
    ! $killed || exit 137
    [ $status -eq 0 ] || exit $status
done
"""
SCONTROL = """case "$1" in
show) echo localhost; echo second-node ;;
requeue) echo "$2" >> "$STAND_IN/requeued" ;;
esac
"""
# torchrun with two ranks, each of which notes the signal that it gets and ends; LATE_RANK starts to train when the other has it.
TORCHRUN = f"""#!{sys.executable}
import json, os, subprocess, sys
from pathlib import Path
(Path(os.environ["STAND_IN"]) / "arguments").write_text(json.dumps(sys.argv[1:]))
rank = Path(os.environ["STAND_IN"]) / "rank.py"
ranks = [subprocess.Popen([sys.executable, rank, str(number)], start_new_session=True) for number in (0, 1)]
sys.exit(max([process.wait() for process in ranks]))
"""
RANK = """
import os, signal, sys, time
from pathlib import Path
places = [Path(os.environ["STAND_IN"]) / f"rank-{rank}" for rank in (0, 1)]
place = places[int(sys.argv[1])]
def save(number, _):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    place.write_text(signal.Signals(number).name)
    sys.exit(int(os.environ["RANK_STATUS"]))
if sys.argv[1] == os.environ["LATE_RANK"]:
    place.write_text("ready")
    while not any(other.exists() and other.read_text() == "SIGUSR1" for other in places):
        time.sleep(0.05)
    time.sleep(0.5)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, save)
if sys.argv[1] != os.environ["LATE_RANK"]:
    place.write_text("ready")
time.sleep(60)
"""


def executable(path: Path, text: str) -> None:
    path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}")
    path.chmod(0o700)


def start(folder: Path, tasks: int, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start the batch script as SLURM would, in the folder from which it was sent."""
    commands = folder / "commands"
    commands.mkdir(exist_ok=True)
    executable(commands / "srun", SRUN)
    executable(commands / "scontrol", SCONTROL)
    slurm = {
        "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NODELIST": "node-[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "2",
        "STAND_IN": str(folder),
        "TASKS": str(tasks),
        "PATH": f"{commands}:{os.environ['PATH']}",
    }
    return subprocess.Popen(
        ["bash", str(SCRIPT), *words],
        cwd=ROOT,
        env=os.environ | slurm | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of(job: subprocess.Popen[str]) -> str:
    """Return what a job wrote, once it has ended."""
    try:
        return job.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        kill_tree(job)
        pytest.fail(f"the job did not end: {job.communicate()[0]}")


def wait_until(condition: Callable[[], bool], job: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if job.poll() is not None or time.monotonic() > deadline:
            kill_tree(job)  # its children too, which hold its output open
            pytest.fail(f"the job did not get so far: {job.communicate()[0]}")
        time.sleep(0.05)


def signalled(
    folder: Path, number: signal.Signals, rank_status: int = 0, late_rank: str = ""
) -> tuple[int, str]:
    """Send a signal to the job when its ranks are ready; return its status and output."""
    executable(folder / "python", TORCHRUN)
    (folder / "rank.py").write_text(RANK)
    words = ("--config", "a recipe.yaml")
    given = {"PYTHON": str(folder / "python"), "RANK_STATUS": str(rank_status), "LATE_RANK": late_rank}
    job = start(folder, 1, *words, **given)
    ranks = [folder / f"rank-{rank}" for rank in (0, 1)]
    wait_until(lambda: all(rank.exists() and rank.read_text() == "ready" for rank in ranks), job)
    job.send_signal(number)
    output = output_of(job)
    assert [rank.read_text() for rank in ranks] == ["SIGUSR1"] * 2
    return job.returncode, output


def test_the_signal_before_the_time_limit_saves_and_queues_again(tmp_path: Path) -> None:
    status, output = signalled(tmp_path, signal.SIGUSR1)
    assert status == 0, output
    assert (tmp_path / "requeued").read_text() == "4242\n"
    assert "job 4242 queues again" in output


def test_a_signal_while_a_rank_starts_is_not_lost(tmp_path: Path) -> None:
    status, output = signalled(tmp_path, signal.SIGUSR1, late_rank="1")
    assert status == 0, output
    assert (tmp_path / "requeued").exists()


def test_torchrun_meets_at_the_first_node_and_gets_the_options(tmp_path: Path) -> None:
    signalled(tmp_path, signal.SIGUSR1)
    words = json.loads((tmp_path / "arguments").read_text())
    assert words[:2] == ["-m", "torch.distributed.run"]
    assert words[-5:] == ["-m", "megatron_bio", "pretrain", "--config", "a recipe.yaml"]
    assert dict(zip(words[2:-5:2], words[3:-5:2], strict=True)) == {
        "--nnodes": "2",
        "--nproc-per-node": "2",
        "--rdzv-backend": "c10d",
        "--rdzv-endpoint": "localhost:24242",
        "--rdzv-id": "4242",
        "--signals-to-handle": "SIGINT,SIGHUP,SIGQUIT",
    }


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_job_that_is_told_to_stop_saves_and_stays_away(tmp_path: Path, number: signal.Signals) -> None:
    """SIGUSR2 is the documented way; SIGTERM comes to the script alone when sent with `scancel --batch`."""
    status, output = signalled(tmp_path, number)
    assert status == 0, output
    assert not (tmp_path / "requeued").exists()


def test_the_ranks_of_a_node_share_all_its_cores(tmp_path: Path) -> None:
    signalled(tmp_path, signal.SIGUSR1)
    assert "--cpu-bind=none" in (tmp_path / "srun").read_text().split()


def test_a_job_that_could_not_save_fails_and_stays_away(tmp_path: Path) -> None:
    status, _ = signalled(tmp_path, signal.SIGUSR1, rank_status=3)
    assert status == 3
    assert not (tmp_path / "requeued").exists()


def test_what_sbatch_is_told() -> None:
    told = set(re.findall(r"^#SBATCH (\S+)$", SCRIPT.read_text(), re.MULTILINE))
    assert {"--signal=B:USR1@600", "--requeue", "--open-mode=append", "--ntasks-per-node=1"} <= told


def free_job_id() -> str:
    """Return a job id whose port (20000 + id) is free."""
    for port in range(21000, 22000):
        with socket.socket() as taken:
            if taken.connect_ex(("localhost", port)):
                return str(port - 20000)
    raise AssertionError("no free port")


@pytest.mark.slow
def test_two_real_agents_save_and_continue(tmp_path: Path) -> None:
    """Two torchrun agents with one rank each train and save when the time is up; the queued job goes on from there."""
    make_data(tmp_path, "bert")
    run = asdict(config(tmp_path, "bert", "run", train_steps=5000, checkpoint_interval=10**6))
    run["data"]["split"] = list(run["data"]["split"])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(run))
    log = tmp_path / "run/log.jsonl"
    given = {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SLURM_GPUS_ON_NODE": "1",
        "SLURM_JOB_ID": free_job_id(),
    }
    steps = []
    for _ in range(2):
        lines = log.read_text().count("\n") if log.exists() else 0
        job = start(tmp_path, 2, "--config", str(recipe), "--training.evaluation_interval", "0", **given)
        wait_until(lambda lines=lines: log.exists() and log.read_text().count("\n") > lines + 3, job)
        job.send_signal(signal.SIGUSR1)
        output = output_of(job)
        assert job.returncode == 0, output
        steps.append(read_info(resolve_checkpoint(tmp_path / "run"))["step"])
    assert f"Continuing after step {steps[0]} of 5000" in output
    assert 3 < steps[0] < steps[1] < 5000
    assert (tmp_path / "requeued").read_text().count("\n") == 2
