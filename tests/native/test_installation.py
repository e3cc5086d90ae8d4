"""`pip install .` succeeds without a compiler, with one, with nvcc, and with an nvcc that fails; each time it says what is lacking.

The tools of a machine are what is in its PATH. Python remembers the compiler that it was built with, perhaps by its whole path,
which no PATH hides; CC and CXX are therefore set to bare names. That a machine with a compiler differs from one without in its
PATH alone shows that the hiding works. Nothing is downloaded: no index, no dependencies, the build tools of this environment.
"""

import json
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "csrc", "megatron_bio")
BASICS = ("sh", "rm", "cat", "mkdir", "uname", "env", "dirname", "basename")
ASSEMBLERS = ("as", "ld", "ar", "ranlib", "nm", "strip", "objcopy")
KERNELS_SKIPPED = "THE CUDA KERNELS ARE NOT BUILT"
NATIVE_FAILED = "megatron_bio.native._compiled COULD NOT BE BUILT"
KERNELS_FAILED = "megatron_bio.kernels._cuda COULD NOT BE BUILT"


def compiler_names() -> dict[str, str]:
    """Return the bare names of the compilers that Python was built with, by the variable that overrides them."""
    words = {name: shlex.split(sysconfig.get_config_var(name) or "") for name in ("CC", "CXX")}
    return {name: Path(command[0]).name for name, command in words.items() if command}


@dataclass(frozen=True)
class Machine:
    """A folder of tools that is the whole PATH, and where the package is installed."""

    folder: Path

    @property
    def tools(self) -> Path:
        return self.folder / "tools"

    @property
    def target(self) -> Path:
        return self.folder / "target"

    @property
    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        return {"PATH": str(self.tools), **home, **compiler_names(), "OMP_NUM_THREADS": "1"}

    def give(self, *names: str) -> None:
        """Pass tools of this machine on; a script and no link, because compilers look for their parts beside themselves."""
        for name in names:
            if (path := shutil.which(name)) is not None:
                self.write(name, f'exec "{path}" "$@"')

    def write(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def give_compilers(self) -> None:
        names = compiler_names()
        if missing := [name for name in ("g++", *names.values()) if shutil.which(name) is None]:
            pytest.skip(f"needs {', '.join(missing)}")
        self.give("gcc", "g++", "cc", "c++", *names.values(), *ASSEMBLERS)

    def install(self) -> str:
        """Install and return what pip showed."""
        for name in SOURCES:
            source, copy = ROOT / name, self.folder / "source" / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            else:
                copy.parent.mkdir(exist_ok=True)
                shutil.copy(source, copy)
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", "-v", *offline, "--target", str(self.target), "."]
        start = time.monotonic()
        process = subprocess.run(
            command,
            cwd=self.folder / "source",
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = process.stdout + process.stderr
        assert process.returncode == 0, said[-5000:]
        print(f"pip install: {time.monotonic() - start:.0f} s")
        return said

    @property
    def compiled(self) -> set[str]:
        """Names of the compiled parts that were installed."""
        paths = self.target.rglob("*.so")
        return {f"{path.parent.name}/{path.name.partition('.')[0]}" for path in paths}

    def doctor(self) -> dict[str, dict[str, str]]:
        """Return the findings of the installed package, which sees this machine's tools only."""
        environment = self.environment | {"PYTHONPATH": str(self.target)}
        program = "import megatron_bio.native; print(megatron_bio.__file__, megatron_bio.native.compiled is not None)"
        imported, report = (
            subprocess.run(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            for arguments in (("-c", program), ("-m", "megatron_bio", "doctor", "--json"))
        )
        assert imported.returncode == report.returncode == 0, imported.stderr + report.stderr
        file, native = imported.stdout.split()
        assert Path(file).is_relative_to(self.target), "another installation was imported"
        assert (native == "True") == ("native/_compiled" in self.compiled)
        return {finding["what"]: finding for finding in json.loads(report.stdout)["findings"]}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One with what every machine has."""
    made = Machine(tmp_path)
    made.tools.mkdir()
    made.give(*BASICS)
    return made


def test_without_a_compiler(machine: Machine) -> None:
    said = machine.install()
    assert machine.compiled == set(), "a compiler was found that is not in the PATH"
    assert NATIVE_FAILED in said and KERNELS_SKIPPED in said and KERNELS_FAILED not in said
    findings = machine.doctor()
    assert findings["g++"]["found"] == findings["nvcc"]["found"] == "missing"
    assert findings["compiled parts"]["found"].startswith("missing: No module named")
    assert "install a C++17 compiler" in findings["compiled parts"]["meaning"]
    assert findings["CUDA kernels"]["found"] == "missing"
    assert "it was not built: pip install builds it where nvcc is" in findings["CUDA kernels"]["meaning"]


def test_with_a_compiler_and_without_nvcc(machine: Machine) -> None:
    machine.give_compilers()
    said = machine.install()
    assert machine.compiled == {"native/_compiled"}
    assert KERNELS_SKIPPED in said and "COULD NOT BE BUILT" not in said
    findings = machine.doctor()
    assert findings["g++"]["found"] != "missing" and findings["nvcc"]["found"] == "missing"
    assert findings["compiled parts"]["found"] == "active"
    assert findings["CUDA kernels"]["found"] == "missing"
    assert "it was not built" in findings["CUDA kernels"]["meaning"]


def test_with_nvcc(machine: Machine) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc in the PATH")
    machine.give_compilers()
    machine.give("nvcc")
    said = machine.install()
    assert machine.compiled == {"native/_compiled", "kernels/_cuda"}
    assert KERNELS_SKIPPED not in said and "COULD NOT BE BUILT" not in said
    assert "registers" in said, "what ptxas says of each kernel is not shown"
    findings = machine.doctor()
    assert findings["compiled parts"]["found"] == "active"
    assert findings["CUDA kernels"]["found"].startswith(str(machine.target))
    assert "python -m megatron_bio.kernels checks them" in findings["CUDA kernels"]["meaning"]


def test_with_an_nvcc_that_fails(machine: Machine) -> None:
    machine.give_compilers()
    machine.write("nvcc", "echo unsupported GNU version >&2; exit 1")
    said = machine.install()
    assert machine.compiled == {"native/_compiled"}, "the failure of one part took another with it"
    assert KERNELS_FAILED in said and "unsupported GNU version" in said and KERNELS_SKIPPED not in said
    assert "megatron-bio doctor says what is missing" in " ".join(said.split())
    findings = machine.doctor()
    assert findings["compiled parts"]["found"] == "active"
    assert findings["CUDA kernels"]["found"] == "missing"
    assert "nvcc" in findings["nvcc"]["found"]


def test_the_tools_of_a_machine_are_its_own(machine: Machine) -> None:
    """Else the tests above would show nothing."""
    found = {name: shutil.which(name, path=str(machine.tools)) for name in ("gcc", "g++", "cc", "nvcc", "sh")}
    assert [name for name, path in found.items() if path] == ["sh"]
    assert all("/" not in name for name in compiler_names().values())
