"""A conversion, its check included, holds about one tensor and not the model."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "convert_memory.py"


@pytest.mark.slow
def test_memory_grows_by_a_part_of_the_model_only(tmp_path: Path) -> None:
    """170 MB there and back: the largest tensor is 5 MB, the fused matrices of a layer with their parts 20 MB."""
    pytest.importorskip("transformers", reason="transformers is not installed (extra 'hf')")
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the largest memory of a process is read from Linux' /proc")
    command = [
        sys.executable,
        str(BENCHMARK),
        "--folder",
        str(tmp_path),
        "--shape",
        "small",
        "--most_growth",
        "0.7",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("there and back") == 2
