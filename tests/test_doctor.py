"""The doctor reports what is there, never fails for what is missing, and says what each means."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from megatron_bio import doctor as module
from megatron_bio.config.doctor import DoctorOptions
from megatron_bio.doctor import doctor
from megatron_bio.kernels import choice, library
from megatron_bio.kernels.choice import OPERATIONS

ROOT = Path(__file__).parents[1]


def fake_torch(*, devices: int = 0, cuda: str | None = None, distributed: bool = True) -> SimpleNamespace:
    properties = SimpleNamespace(name="H200", total_memory=139 * 2**30, major=9, minor=0)
    return SimpleNamespace(
        __version__="9.9",
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: devices > 0,
            device_count=lambda: devices,
            get_device_properties=lambda index: properties,
        ),
        distributed=SimpleNamespace(
            is_available=lambda: distributed,
            is_gloo_available=lambda: True,
            is_nccl_available=lambda: bool(cuda),
        ),
    )


@pytest.fixture(autouse=True)
def torch_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch())  # type: ignore[arg-type]


def report(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, dict[str, str]], str]:
    """Return the findings by what they are about, and the conclusion."""
    doctor(DoctorOptions(json=True))
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    names = [finding["what"] for finding in content["findings"]]
    assert len(names) == len(set(names))
    for finding in content["findings"]:
        assert all(finding.values()), f"something is empty in {finding}"
    return {finding["what"]: finding for finding in content["findings"]}, content["conclusion"]


def test_everything_that_helps_in_a_bug_report_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    findings, conclusion = report(capsys)
    expected = {
        "Python", "platform", "processor", "memory", "bf16 on the CPU", "torch", "CUDA devices", "several processes",
        "compiled parts", "CUDA kernels", "variable-length attention",
        "gcc", "g++", "nvcc", "ninja", "transformers", "megatron-core", "transformer-engine", "apex", "tensorboard", "isal",
        "zstandard", "free disk here", "OMP_NUM_THREADS",
    }  # fmt: skip
    kernels = {f"kernel: {name}" for name in OPERATIONS}
    assert kernels and findings.keys() == expected | kernels
    for name in kernels:
        assert findings[name]["found"] == "reference (plain torch)"
        assert "run on CUDA devices, and this run is on cpu" in findings[name]["meaning"]
    assert findings["torch"]["found"] == "9.9"
    assert "on the CPU" in conclusion


def test_with_the_real_torch() -> None:
    command = [sys.executable, "-m", "megatron_bio", "doctor", "--json"]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    findings = {finding["what"]: finding["found"] for finding in json.loads(process.stdout)["findings"]}
    assert findings["torch"].split("+")[0] == version("torch").split("+")[0]
    assert "gloo" in findings["several processes"]


def test_table_shows_all_findings_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    findings, conclusion = report(capsys)
    doctor(DoctorOptions())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    first_words = {line.split("│")[1].strip() for line in lines if "│" in line}
    assert findings.keys() <= first_words
    assert " ".join(" ".join(lines).split()).endswith(conclusion)


def test_nothing_that_is_missing_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_package(name: str) -> str:
        raise PackageNotFoundError(name)

    def no_file(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setitem(sys.modules, "torch", None)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "version", no_package)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "read_text", no_file)
    monkeypatch.setattr("os.sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    findings, conclusion = report(capsys)
    for name in ("gcc", "nvcc", "transformers", "zstandard"):
        assert findings[name]["found"] == "missing"
    assert findings["torch"]["found"].startswith("missing")
    assert findings["memory"]["found"] == findings["bf16 on the CPU"]["found"] == "not known"
    assert findings["OMP_NUM_THREADS"]["found"] == "not set"
    assert "pip install" in findings["isal"]["meaning"] and "need torch" in conclusion


def test_compiler_that_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "gcc"
    broken.write_text("not a program", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(broken) if name == "gcc" else None)
    assert report(capsys)[0]["gcc"]["found"] == f"does not start ({broken})"


def test_cuda_devices(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(devices=2, cuda="13.0"))  # type: ignore[arg-type]
    findings, conclusion = report(capsys)
    assert findings["CUDA device 1"]["found"] == "H200, 139 GiB"
    assert "9.0" in findings["CUDA device 0"]["meaning"]
    assert findings["several processes"]["found"] == "gloo, nccl"
    assert "torchrun --nproc-per-node 2" in conclusion


@pytest.mark.parametrize("built", [True, False])
def test_kernels_on_a_cuda_device(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(devices=1, cuda="13.0"))  # type: ignore[arg-type]
    found = SimpleNamespace(path="/kernels.so") if built else None
    for place in (choice, library):
        monkeypatch.setattr(place, "open_library", lambda: (found, "" if built else "nvcc was missing"))
    monkeypatch.setattr(choice, "MEASURED_WINS", frozenset({"layer_norm"}))
    findings, _ = report(capsys)
    assert findings["CUDA kernels"]["found"] == ("/kernels.so" if built else "missing")
    assert ("nvcc was missing" in findings["CUDA kernels"]["meaning"]) == (not built)
    norm, gelu = findings["kernel: layer_norm"], findings["kernel: bias_gelu"]
    assert norm["found"] == ("active" if built else "reference (plain torch)")
    assert gelu["found"] == "reference (plain torch)"
    assert ("training.kernels cuda" if built else "nvcc was missing") in gelu["meaning"]


def test_driver_without_cuda_torch_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false" if name == "nvidia-smi" else None)
    findings, _ = report(capsys)
    assert findings["CUDA devices"]["found"] == "not usable"
    assert "install the one for CUDA" in findings["CUDA devices"]["meaning"]


def test_torch_without_distributed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(distributed=False))  # type: ignore[arg-type]
    assert "does not start" in report(capsys)[0]["several processes"]["meaning"]


@pytest.mark.parametrize(
    ("limit", "expected"), [("max\n", 64), (f"{16 * 2**30}\n", 16), (f"{99 * 2**30}\n", 64)]
)
def test_memory_is_the_container_s_if_that_is_less(
    limit: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * 2**30 // 4096}
    monkeypatch.setattr("os.sysconf", lambda name: pages[name])
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: limit)
    assert module.memory_bytes() == expected * 2**30


@pytest.mark.parametrize(
    ("flags", "found"), [("flags : sse amx_bf16 avx", "amx_bf16"), ("flags : sse", "not in hardware")]
)
def test_bf16_is_read_from_the_processor_s_flags(
    flags: str, found: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def read(path: Path, **how: Any) -> str:
        return flags if path == Path("/proc/cpuinfo") else read_text(path, **how)

    monkeypatch.setattr(Path, "read_text", read)
    finding = report(capsys)[0]["bf16 on the CPU"]
    assert finding["found"] == found
    assert ("fast" in finding["meaning"]) == (found == "amx_bf16")
