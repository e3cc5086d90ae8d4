"""`preprocess` that was killed at any moment and started again gives the bytes of a run that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("killed_preprocess.py")
WORDS = ["mice", "died", "rats.", "All", "(all)", "E.", "coli", "0.05", "\n"]
SECONDS = 60.0


def write_documents(tmp_path: Path, files: int = 2, documents: int = 50) -> list[str]:
    generator = random.Random(1)
    paths = []
    for file in range(files):
        lines = [
            json.dumps({"id": f"{file}-{number}", "text": " ".join(generator.choices(WORDS, k=30))})
            for number in range(documents)
        ]
        path = tmp_path / f"{file}.jsonl"
        path.write_text("\n".join(lines))
        paths.append(str(path))
    return paths


def start(words: list[str], output: Path, workers: int = 1, number: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(workers), str(number), *words, "--output", str(output)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def contents(output: Path) -> dict[str, bytes]:
    return {
        path.name.removeprefix(output.name): path.read_bytes()
        for path in output.parent.glob(f"{output.name}*")
        if path.is_file()
    }


def check_every_kth_moment(tmp_path: Path, wordpiece: Path, moments: int | None, workers: list[int]) -> None:
    words = [*write_documents(tmp_path), "--tokenizer", str(wordpiece), "--split", "0.6", "0.2", "0.2"]
    whole = tmp_path / "whole"
    process = start(words, whole)
    steps = int(process.communicate(timeout=SECONDS)[0].split()[-1])
    assert process.returncode == 0 and steps > 40
    expected = contents(whole)
    assert len(expected) == 9
    chosen = range(1, steps + 1) if moments is None else range(1, steps + 1, steps // moments)
    for number in chosen:
        output = tmp_path / f"killed-{number}"
        process = start(words, output, 1, number)
        process.communicate(timeout=SECONDS)
        assert process.returncode == -signal.SIGKILL
        process = start(words, output, workers[number % len(workers)])
        errors = process.communicate(timeout=SECONDS)[1]
        assert process.returncode == 0, errors
        assert contents(output) == expected, f"killed at step {number} of {steps}"
        assert not list(tmp_path.glob("*.unfinished"))


def test_killed_at_some_moments(tmp_path: Path, wordpiece: Path) -> None:
    check_every_kth_moment(tmp_path, wordpiece, 6, [1, 2])


@pytest.mark.slow
def test_killed_at_every_moment(tmp_path: Path, wordpiece: Path) -> None:
    check_every_kth_moment(tmp_path, wordpiece, None, [1, 2, 3])


def test_killed_again_and_again(tmp_path: Path, wordpiece: Path) -> None:
    """Each run gets a little further than the one before."""
    words = [*write_documents(tmp_path, 2, 200), "--tokenizer", str(wordpiece)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(words, whole).communicate(timeout=SECONDS)
    kills = 0
    for _ in range(20):
        process = start(words, killed, 1, 90)
        errors = process.communicate(timeout=SECONDS)[1]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        assert kills == 0 or "goes on with" in errors
        kills += 1
    assert process.returncode == 0 and kills > 2
    assert contents(killed) == contents(whole)


def test_a_killed_worker_costs_no_finished_work(tmp_path: Path, wordpiece: Path) -> None:
    words = [*write_documents(tmp_path, 1, 5000), "--tokenizer", str(wordpiece)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(words, whole).communicate(timeout=SECONDS)
    process = start(words, killed, 2)
    folder = tmp_path / "killed.unfinished"
    end = time.monotonic() + SECONDS
    while not (folder / "state.json").exists():
        assert time.monotonic() < end and process.poll() is None, "nothing was saved"
        time.sleep(0.002)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    worker = next(child for child, command in commands.items() if b"spawn_main" in command)
    os.kill(int(worker), signal.SIGKILL)
    errors = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 1
    assert "SIGKILL" in errors and "the same command goes on from there" in errors
    assert not list(tmp_path.glob("killed.[bij]*"))
    process = start(words, killed, 1)
    assert "goes on with" in process.communicate(timeout=SECONDS)[1]
    assert contents(killed) == contents(whole)


def test_interrupt_ends_cleanly_and_says_how_to_go_on(tmp_path: Path, wordpiece: Path) -> None:
    words = [*write_documents(tmp_path, 1, 5000), "--tokenizer", str(wordpiece)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(words, whole).communicate(timeout=SECONDS)
    process = start(words, killed, 2)
    end = time.monotonic() + SECONDS
    while not (tmp_path / "killed.unfinished/state.json").exists():
        assert time.monotonic() < end and process.poll() is None, "nothing was saved"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 130 and "Traceback" not in errors
    assert f"what is finished lies in {killed}.unfinished; the same command goes on from there" in errors
    process = start(words, killed, 2)
    process.communicate(timeout=SECONDS)
    assert contents(killed) == contents(whole)
