"""AddressSanitizer watches the emulated kernels: every tensor ends where the operating system's allocator says it does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.conftest import ROOT, compile_for_host

WATCHED = """
import sys
from pathlib import Path
from megatron_bio.kernels.library import Library
from megatron_bio.kernels.selfcheck import CASES, largest_error
for operation in CASES:
    assert largest_error(operation, Library(Path(sys.argv[1])), 4, "cpu")[0] <= 1.0
print("watched")
"""


def runtime() -> str:
    """Return the library that must be loaded before all others."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    command = [compiler, "-print-file-name=libasan.so"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("this g++ has no AddressSanitizer")
    return found


@pytest.mark.slow
def test_kernels_stay_in_their_tensors(tmp_path: Path) -> None:
    library = compile_for_host(tmp_path / "watched.so", "-g", "-fsanitize=address")
    watch = {"LD_PRELOAD": runtime(), "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}
    process = subprocess.run(
        [sys.executable, "-c", WATCHED, str(library)],
        env={**os.environ, **watch, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0 and "watched" in process.stdout, process.stderr[-3000:]
