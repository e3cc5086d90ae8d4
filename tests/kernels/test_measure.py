"""What a benchmark of a kernel leaves behind when it is cut off; its numbers need a GPU."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "kernels"


def test_who_is_cut_off_while_compiling_has_measured_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    measure = importlib.import_module("measure")

    def rows(bench: str, *_: object, compiled: bool) -> Iterator[tuple[str, ...]]:
        if compiled:
            raise KeyboardInterrupt
        yield bench, "kernel"

    table = tmp_path / "operations.csv"
    replaced: dict[str, Any] = {"_rows": rows, "copy_bandwidth": lambda _: 1e9}
    for name, function in replaced.items():
        monkeypatch.setattr(measure, name, function)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "argv", ["bench", "--table", str(table)])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            measure.main(["first", "second"])
    assert table.read_text().splitlines() == [
        ",".join(measure.COLUMNS),
        *["first,kernel", "second,kernel"] * 2,
    ]
