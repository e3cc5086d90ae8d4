"""What a benchmark on a GPU leaves becomes rows that say what was wanted and what was found."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.kernels.conftest import ROOT

FOLDER = ROOT / "benchmarks" / "kernels"
MACHINE = (
    "NVIDIA A, 580.1, 1 MiB\nNVIDIA B, 580.1, 1 MiB\ntorch 2.11 CUDA 13.0 device NVIDIA B\ncommit abc1234\n"
)


def write(table: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def script(name: str) -> ModuleType:
    """Return a script of the folder as a module, which no other module of that name can be taken for."""
    specification = importlib.util.spec_from_file_location(f"kernel_benchmark_{name}", FOLDER / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    specification.loader.exec_module(module)
    return module


def record(folder: Path) -> str:
    command = [sys.executable, str(FOLDER / "record.py"), str(folder), "470"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_rows_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    steps, measure = script("steps"), script("measure")
    (tmp_path / "machine.txt").write_text(MACHINE, encoding="utf-8")
    way = ("mask", "cuda", False, 32)
    write(
        tmp_path / "steps.csv",
        steps.COLUMNS,
        [
            ("biomegatron-345m", 0.0, *way, "out of memory", "", "", "", 0.45, "", ""),
            ("biomedlm-2.7b", 0.0, *way, 1.0, "1.7e10", 30000, 0.52, 0.5, 90.0, 4000),
            ("biomegatron-345m", 0.1, *way, 0.99, "1.99e9", 223000, 0.45, 0.45, 60.0, 900),
        ],
    )
    write(
        tmp_path / "operations.csv",
        measure.COLUMNS,
        [
            ("layer_norm", shape, "bfloat16", "forward", candidate, microseconds, 1.0, of_copy)
            for shape, candidate, microseconds, of_copy in (
                ("8x8", "torch", 30.0, 0.3),
                ("8x8", "kernel", 10.0, 0.9),
                ("9x9", "torch", 40.0, 0.4),
                ("9x9", "kernel", 20.0, 0.8),
                ("8x8", "torch.compile", 9.0, 0.95),
            )
        ]
        + [("rows_at", "8x8", "bfloat16", "forward", "torch", 30.0, 1.0, 0.3)],
    )
    printed = record(tmp_path)
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (ROOT / "benchmarks" / "results.csv").open(newline="", encoding="utf-8") as file:
        assert list(rows[0]) == next(csv.reader(file))
    assert {(row["commit"], row["machine"], row["seconds"]) for row in rows} == {
        ("abc1234", "NVIDIA B, 580.1, 1 MiB; torch 2.11 CUDA 13.0", "470")
    }
    bert, gpt, norm, masked = (row["result"] for row in rows)
    assert rows[0]["claim"] == "biomegatron-345m: aim 0.45 of the peak at real tokens"
    assert "dropout 0.0, kernels cuda: out of memory with 32 rows; mask, attention dropout 0.1" in bert
    assert "0.45 of the peak, 223000 tokens/s at 1.99e9 FLOP, 900 bytes per token" in bert
    assert gpt.startswith("mask, attention dropout 0.0, kernels cuda: 0.52 of the peak")
    assert norm == (
        "forward: 0.80 of the copy at least (2 shapes), 2.50 times as fast as torch, "
        "0.90 times as fast as torch.compile (1 shape)"
    )
    assert masked == "forward: kernel not run" and norm in printed


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    (tmp_path / "machine.txt").write_text(
        "no NVIDIA driver\ntorch 2.13 CUDA None device none\ncommit not known\n"
    )
    assert record(tmp_path) == "NOT RUN: nothing was measured on a GPU\n"


def test_rows_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "machine.txt").write_text("", encoding="utf-8")
    columns = "operation,shape,dtype,pass,candidate,microseconds,gigabytes per second,of copy\n"
    whole = "layer_norm,8x8,bfloat16,forward,kernel,10.0,1.0,0.9\n"
    other = "layer_norm,9x9,bfloat16,forward,torch,10.0,1.0,0.1\n"
    # The second row lost its end, and what came next went on behind it; the last row lost a digit of its last number.
    (tmp_path / "operations.csv").write_text(columns + whole + whole[:30] + whole + other + other[:-2])
    (tmp_path / "steps.csv").write_text("model,attention drop")
    assert record(tmp_path) == (
        "layer_norm: at least 0.85 of the copy's bandwidth, faster than torch and torch.compile: "
        "forward: 0.90 of the copy at least (1 shape)\n"
    )
    assert "not known" in (tmp_path / "results.csv").read_text(encoding="utf-8")
