"""Compile the CUDA kernels of this folder into one shared library with a plain C interface; torch takes no part in it.

`setup.py` does this where there is nvcc. By hand, with a table of the registers that each kernel takes:

    python csrc/compile_kernels.py --output /tmp/kernels.so --table docs/kernels-registers.csv
"""

import argparse
import csv
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
ARCHITECTURES = ("arch=compute_80,code=sm_80", "arch=compute_90,code=[sm_90,compute_90]")
"""Machine code for A100 and H100/H200, and PTX from which the driver makes code for what comes later."""
TABLE_COLUMNS = ("kernel", "architecture", "registers", "shared_bytes", "spill_and_stack_bytes", "sources")
_ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


def find_nvcc() -> str | None:
    """Return the compiler of $CUDA_HOME, or else of the PATH, or None."""
    home = os.environ.get("CUDA_HOME")
    if home and (own := shutil.which("nvcc", path=str(Path(home) / "bin"))):
        return own
    return shutil.which("nvcc")


def sources() -> list[Path]:
    """Return what is compiled, in order."""
    return sorted(FOLDER.glob("*.cu"))


def fingerprint() -> str:
    """Return a digest of the sources and headers."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.cu*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def command(nvcc: str, output: Path) -> list[str]:
    """Return the call that compiles for all architectures and takes no warning."""
    architectures = [flag for architecture in ARCHITECTURES for flag in ("-gencode", architecture)]
    flags = ["-O3", "-std=c++17", "-Werror", "all-warnings", "-Xptxas", "-v", "--threads", "0"]
    library = ["--shared", "--cudart", "static", "-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall,-Wextra"]
    return [nvcc, *flags, *architectures, *library, "-o", str(output), *map(str, sources())]


def compile_kernels(nvcc: str, output: Path) -> str:
    """Compile into `output` and return what the compiler said; OSError or RuntimeError if it could not."""
    process = subprocess.run(command(nvcc, output), capture_output=True, text=True, check=False)
    said = process.stdout + process.stderr
    if process.returncode != 0:
        output.unlink(missing_ok=True)
        problems = [
            line for line in said.splitlines() if not line.startswith(("ptxas info", "    0 bytes stack"))
        ]
        raise RuntimeError(f"{nvcc} ended with {process.returncode}:\n" + "\n".join(problems))
    return said


def resource_table(said: str) -> list[tuple[str, str, int, int, int]]:
    """Return (kernel, architecture, registers, bytes of shared memory, bytes of spills and stack) of each instance."""
    found = []
    for part in re.split(r"(?=ptxas info\s*: Compiling entry function)", said):
        entry, spills, used = _ENTRY.search(part), _SPILLS.search(part), _REGISTERS.search(part)
        if entry and spills and used:
            found.append(
                (entry[1], entry[2], int(used[1]), int(used[2] or 0), sum(map(int, spills.groups())))
            )
    names = _demangled([row[0] for row in found])
    # A kernel of a header is compiled with each file that has it.
    return sorted({(name, *row[1:]) for name, row in zip(names, found, strict=True)})


def _demangled(names: list[str]) -> list[str]:
    program = shutil.which("c++filt")
    if program is None:
        return names
    process = subprocess.run(
        [program, "-p"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return [name.removeprefix("void ") for name in process.stdout.splitlines()]


def main() -> None:
    """Compile, print the largest numbers and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="the library to make")
    parser.add_argument("--table", type=Path, help="CSV of registers, shared memory and spills")
    options = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        raise SystemExit("nvcc is neither in $CUDA_HOME/bin nor in the PATH: nothing to compile with.")
    rows = resource_table(compile_kernels(nvcc, options.output))
    print(
        f"{len(rows)} instances, at most {max(row[2] for row in rows)} registers, "
        f"{sum(row[4] for row in rows)} bytes of spills and stack"
    )
    if options.table:
        with options.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(TABLE_COLUMNS)
            writer.writerows((*row, fingerprint()) for row in rows)


if __name__ == "__main__":
    main()
