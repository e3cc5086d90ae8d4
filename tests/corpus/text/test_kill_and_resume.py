"""A run with workers that is killed and started again gives the bytes of a run in one process that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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


def start(
    tmp_path: Path, verb: str, inputs: Sequence[Path], output: Path, workers: int = 2
) -> subprocess.Popen[bytes]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, "extract", verb, *inputs, "--output", output, "--workers", workers]
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


def write_pile(tmp_path: Path) -> list[Path]:
    pile = tmp_path / "00.jsonl"
    subsets = ("PubMed Central", "PubMed Abstracts", "ArXiv")
    with pile.open("w") as file:
        for number in range(3_000):
            meta = {"pile_set_name": subsets[number % 3]}
            file.write(json.dumps({"text": f"text {number} " * (number % 60), "meta": meta}) + "\n")
    return [pile]


def write_texts(tmp_path: Path) -> list[Path]:
    """Parquet of 20 row groups, JSONL of some batches, plain text."""
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read with pyarrow (extra: corpus)")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read with pyarrow (extra: corpus)")
    table, plain = tmp_path / "a.parquet", tmp_path / "notes.txt"
    texts = [f"row {number} " * (number % 60) for number in range(1_000)]
    parquet.write_table(pyarrow.table({"text": texts}), table, row_group_size=50)
    plain.write_text("".join(f"note {number}\n" for number in range(2_000)))
    return [table, *write_pile(tmp_path), plain]


@pytest.mark.parametrize(("verb", "write"), [("pile", write_pile), ("text", write_texts)])
def test_kill_and_resume(tmp_path: Path, verb: str, write: Callable[[Path], list[Path]]) -> None:
    inputs = write(tmp_path)
    whole = tmp_path / "whole.jsonl.zst"
    assert start(tmp_path, verb, inputs, whole, workers=1).wait(SECONDS) == 0
    output = tmp_path / "killed.jsonl.zst"
    folder = tmp_path / "killed.jsonl.zst.unfinished"
    process = start(tmp_path, verb, inputs, output)
    wait_for_parts(folder, 5, process)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(SECONDS) == -signal.SIGKILL, "it was killed in the middle"
    assert not output.exists() and len(list(folder.glob("*.table"))) >= 5
    assert start(tmp_path, verb, inputs, output).wait(SECONDS) == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not folder.exists()
    report, expected = (
        json.loads(path.with_name(f"{path.name}.report.json").read_text()) for path in (output, whole)
    )
    assert {**report, "output": ""} == {**expected, "output": ""}
