"""A run that is killed at any moment and started again gives the bytes of a run that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = (
    "import sys\n"
    "from megatron_bio.corpus import line_batches\n"
    "from megatron_bio.cli import main\n"
    "line_batches.BATCH_BYTES = 50_000\n"
    "if __name__ == '__main__':\n"
    "    sys.exit(main(sys.argv[1:]))\n"
)
SECONDS = 60.0


def start(tmp_path: Path, verb: str, inputs: Sequence[Path], output: Path) -> subprocess.Popen[bytes]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, "extract", verb, *inputs, "--output", output, "--workers", "2"]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def wait_for_parts(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while len(list(folder.glob("*.table"))) < count and process.poll() is None:
        assert time.monotonic() < end, "no parts were made"
        time.sleep(0.002)


def write_inputs(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    pile = tmp_path / "00.jsonl"
    subsets = ("PubMed Central", "PubMed Abstracts", "ArXiv")
    with pile.open("w") as file:
        for number in range(6_000):
            meta = {"pile_set_name": subsets[number % 3]}
            file.write(json.dumps({"text": f"text {number} " * (number % 60), "meta": meta}) + "\n")
    plain = tmp_path / "notes.txt"
    plain.write_text("".join(f"note {number}\n" for number in range(2_000)))
    return [pile], [pile, plain]


@pytest.mark.parametrize("verb", ["pile", "text"])
def test_kill_and_resume(tmp_path: Path, verb: str) -> None:
    pile, texts = write_inputs(tmp_path)
    inputs = pile if verb == "pile" else texts
    whole = tmp_path / "whole.jsonl.zst"
    assert start(tmp_path, verb, inputs, whole).wait(SECONDS) == 0
    output = tmp_path / "killed.jsonl.zst"
    folder = tmp_path / "killed.jsonl.zst.unfinished"
    kills = 0
    for parts in (1, 20):
        process = start(tmp_path, verb, inputs, output)
        wait_for_parts(folder, parts, process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)
            kills += 1
            assert not output.exists() and folder.is_dir()
    assert kills, "at least one run was killed in the middle"
    assert start(tmp_path, verb, inputs, output).wait(SECONDS) == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not folder.exists()
    report, expected = (
        json.loads(path.with_name(f"{path.name}.report.json").read_text()) for path in (output, whole)
    )
    assert {**report, "output": ""} == {**expected, "output": ""}
