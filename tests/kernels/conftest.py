"""The kernels of csrc, compiled for the host."""

import shutil
import subprocess
from pathlib import Path

import pytest

from megatron_bio.kernels.library import Library

ROOT = Path(__file__).parents[2]


def compile_for_host(output: Path, *flags: str) -> Path:
    """Compile the CUDA sources with emulation/cuda_runtime.h in place of CUDA's."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    folder = ROOT / "tests" / "kernels" / "emulation"
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    command = [compiler, "-std=c++17", "-O1", *warnings, *flags, "-shared", "-fPIC", "-fvisibility=hidden"]
    places = ["-I", str(folder), "-I", str(ROOT / "csrc"), "-o", str(output), str(folder / "emulated.cpp")]
    subprocess.run([*command, *places], check=True)
    return output


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The CUDA sources as a library for the host; see emulation/cuda_runtime.h."""
    return Library(compile_for_host(tmp_path_factory.mktemp("emulated") / "kernels.so"))
