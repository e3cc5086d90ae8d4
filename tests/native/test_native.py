"""The compiled parts are there where they can be built, and are not needed where they cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_bio import native

ROOT = Path(__file__).parents[2]


def test_compiled_parts_are_there() -> None:
    if not (shutil.which("c++") or shutil.which("g++")):
        pytest.skip("no C++ compiler here")
    assert native.compiled is not None, native.reason


def test_without_a_compiler_the_build_succeeds_and_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", "lib", "--build-temp", "temp"]
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "csrc", "megatron_bio"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "CC": "/no/compiler", "CXX": "/no/compiler", "CUDA_HOME": "", "PATH": ""}
    process = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "could not be built" in process.stderr.casefold() and "C++17 compiler" in process.stderr
    assert not list(tmp_path.glob("lib/**/_compiled*.so"))


def test_import_without_compiled_parts_gives_the_reason() -> None:
    program = (
        "import sys; sys.modules['megatron_bio.native._compiled'] = None\n"
        "from megatron_bio import native\n"
        "from megatron_bio.corpus.pmc.compiled import read_article\n"
        "assert native.compiled is None and native.reason in native.NOTICE and native.reason\n"
        "assert read_article(b'<article><body/></article>', False) is None"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert process.returncode == 0, process.stderr
