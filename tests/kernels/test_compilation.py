"""nvcc takes the sources without a warning, no kernel spills, the table in docs is of these sources, and setup.py never fails."""

import csv
import ctypes
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_bio.kernels.choice import OPERATIONS
from megatron_bio.kernels.library import Library

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "kernels-registers.csv"
COMPILATION = runpy.run_path(str(ROOT / "csrc" / "compile_kernels.py"))
REGISTERS_OF_A_BLOCK = 65_536
LARGEST_BLOCKS = {
    "bias_gelu_": 256,
    "bias_dropout_add_forward": 256,
    "bias_dropout_add_backward": 256,
    "cross_entropy": 256,
    "embedding_sum": 256,
    "rows_at": 256,
}
"""Threads of the largest block of the kernels so called; of the others it is 1024."""
PIPED = (
    "ptxas info    : Compiling entry function '_Z1kIfEvPT_i' for 'sm_90'\n"
    "ptxas info    : Function properties for _Z1kIfEvPT_i\n"
    "    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n"
    "ptxas info    : Used 8 registers, used 1 barriers, 96 bytes smem, 364 bytes cmem[0]\n"
)


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_is_of_these_sources() -> None:
    """Else: python csrc/compile_kernels.py --output /tmp/kernels.so --table docs/kernels-registers.csv."""
    assert {row["sources"] for row in rows()} == {COMPILATION["fingerprint"]()}
    assert {row["architecture"] for row in rows()} == {"sm_80", "sm_90"}


def test_no_kernel_spills_and_every_block_has_its_registers() -> None:
    for row in rows():
        assert row["spill_and_stack_bytes"] == "0", row
        threads = next(
            (size for name, size in LARGEST_BLOCKS.items() if row["kernel"].startswith(name)), 1024
        )
        assert int(row["registers"]) * threads <= REGISTERS_OF_A_BLOCK, row


def test_the_compiler_s_words_become_a_table() -> None:
    assert COMPILATION["resource_table"](PIPED) == [("k<float>", "sm_90", 8, 96, 28)]
    assert COMPILATION["resource_table"]("") == []


@pytest.mark.slow
def test_nvcc_compiles_without_a_warning_and_the_library_opens(tmp_path: Path) -> None:
    nvcc = COMPILATION["find_nvcc"]()
    if nvcc is None:
        pytest.skip("needs nvcc")
    said = COMPILATION["compile_kernels"](nvcc, tmp_path / "kernels.so")
    assert "warning" not in said
    found = {(row[0], row[1]) for row in COMPILATION["resource_table"](said)}
    assert found == {(row["kernel"], row["architecture"]) for row in rows()}
    assert all(row[4] == 0 for row in COMPILATION["resource_table"](said))
    library = Library(tmp_path / "kernels.so")
    functions = ctypes.CDLL(str(library.path))
    for name in OPERATIONS:
        parts = ("statistics", "gradient") if name == "cross_entropy" else ("forward", "backward")
        assert all(getattr(functions, f"megatron_bio_{name}_{part}") for part in parts)


def build(tmp_path: Path, **tools: str) -> subprocess.CompletedProcess[str]:
    """Build all extensions with only these programs in the PATH: name to a shell script."""
    tools_folder = tmp_path / "tools"
    tools_folder.mkdir()
    for name, script in tools.items():
        (tools_folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools_folder / name).chmod(0o755)
    places = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", *places],
        cwd=ROOT,
        env={"PATH": str(tools_folder), "HOME": os.environ.get("HOME", "/"), "CC": "absent", "CXX": "absent"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_compilers_everything_is_skipped_loudly(tmp_path: Path) -> None:
    process = build(tmp_path)
    assert process.returncode == 0, process.stderr
    assert (
        "THE CUDA KERNELS ARE NOT BUILT: nvcc is neither in $CUDA_HOME/bin nor in the PATH" in process.stderr
    )
    assert not list((tmp_path / "lib").rglob("*.so"))


@pytest.mark.parametrize("script", ["echo no such GPU >&2; exit 3", "exit 127", "kill -9 $$"])
def test_an_nvcc_that_does_not_work_breaks_nothing(tmp_path: Path, script: str) -> None:
    process = build(tmp_path, nvcc=script)
    assert process.returncode == 0, process.stderr
    assert "megatron_bio.kernels._cuda COULD NOT BE BUILT" in process.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))


def test_what_nvcc_makes_lies_beside_the_kernels(tmp_path: Path) -> None:
    # The library is the argument after -o.
    process = build(tmp_path, nvcc='while [ "$1" != "-o" ]; do shift; done; : > "$2"')
    assert process.returncode == 0, process.stderr
    (built,) = (tmp_path / "lib").rglob("*.so")
    assert built.parent == tmp_path / "lib" / "megatron_bio" / "kernels" and built.name.startswith("_cuda.")
