"""The library is found, refused or missed with a reason; the choice of kernels follows it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.kernels import __main__ as command
from megatron_bio.kernels import bias_gelu, choice, library, selfcheck
from megatron_bio.kernels.choice import OPERATIONS, chosen
from megatron_bio.kernels.library import KernelError, Library
from megatron_bio.training.announcement import kernel_lines
from megatron_bio.training.computation import chosen_kernels

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def found_afresh() -> None:
    library.open_library.cache_clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the library is looked for."""
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    return tmp_path


def test_without_a_library_the_reason_is_told(place: Path) -> None:
    found, reason = library.open_library()
    assert found is None and "nvcc" in reason
    with pytest.raises(KernelError, match="nvcc"):
        library.cuda_library()


def test_a_damaged_library_is_a_reason(place: Path) -> None:
    (place / "_cuda.so").write_bytes(b"not a library")
    found, reason = library.open_library()
    assert found is None and "_cuda.so" in reason


def test_a_library_of_another_version_is_a_reason(
    place: Path, monkeypatch: pytest.MonkeyPatch, emulated: Library
) -> None:
    (place / "_cuda.cpython.so").symlink_to(emulated.path)
    assert library.open_library()[0] is not None
    library.open_library.cache_clear()
    monkeypatch.setattr(library, "INTERFACE", 99)
    found, reason = library.open_library()
    assert found is None and "interface 2, this version wants 99: install again" in reason


def test_every_operation_is_checked_and_has_its_files() -> None:
    assert set(selfcheck.CASES) == set(OPERATIONS)
    for name in OPERATIONS:
        for path in (
            "megatron_bio/kernels/{}.py",
            "csrc/{}.cu",
            "tests/kernels/test_{}.py",
            "benchmarks/kernels/{}.py",
        ):
            assert (ROOT / path.format(name)).is_file(), path.format(name)
    emulated = (ROOT / "tests/kernels/emulation/emulated.cpp").read_text()
    assert all(f'"{path.name}"' in emulated for path in (ROOT / "csrc").glob("*.cu"))


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MEASURED_WINS", frozenset({"layer_norm"}))
    monkeypatch.setattr(choice, "open_library", lambda: (object(), ""))
    assert chosen("auto", "cuda") == {"layer_norm"}
    assert chosen("cuda", "cuda") == set(OPERATIONS)
    assert chosen("reference", "cuda") == chosen("auto", "cpu") == frozenset()
    with pytest.raises(
        ConfigurationError, match=r"training.kernels cuda: .* this run is on cpu\. megatron-bio doctor"
    ):
        chosen_kernels("cuda", torch.device("cpu"), ParallelConfig())
    split = ParallelConfig(pipeline_parallel=2, pipeline_schedule="zero_bubble")
    for layout, missing in ((ParallelConfig(), set()), (split, {"bias_dropout_add_norm"})):
        assert chosen_kernels("cuda", torch.device("cuda"), layout) == set(OPERATIONS) - missing
    monkeypatch.setattr(choice, "open_library", lambda: (None, "nvcc was missing"))
    assert chosen("auto", "cuda") == frozenset()
    with pytest.raises(ConfigurationError, match=r"training.kernels cuda: .*nvcc was missing"):
        chosen_kernels("cuda", torch.device("cuda"), ParallelConfig())


def test_a_run_says_what_runs_as_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "open_library", lambda: (object(), ""))
    cuda = torch.device("cuda")
    assert list(kernel_lines("auto", frozenset(), torch.device("cpu"), 1)) == []
    (none,) = kernel_lines("auto", frozenset(), cuda, 1)
    assert all(name in none for name in OPERATIONS) and "docs/kernels.md" in none
    (every,) = kernel_lines("cuda", frozenset(OPERATIONS), cuda, 1)
    assert "as CUDA kernels run bias_dropout_add, bias_dropout_add_norm, bias_gelu" in every
    said = list(kernel_lines("cuda", frozenset(OPERATIONS), cuda, 2))
    assert "torch's own operations runs embedding_sum too, because tensor_parallel 2" in said[0]
    assert len(said) == 2 and "embedding_sum" not in said[1] and "layer_norm, rows_at" in said[1]
    assert len(list(kernel_lines("cuda", frozenset({"embedding_sum"}), cuda, 2))) == 2
    monkeypatch.setattr(choice, "open_library", lambda: (None, "nvcc was missing"))
    assert "nvcc was missing" in next(kernel_lines("auto", frozenset(), cuda, 1))


def test_the_command_says_what_cannot_run() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "megatron_bio.kernels"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "library: " in process.stdout and "auto takes: none" in process.stdout
    if not torch.cuda.is_available():
        assert "self-check: not run, the CUDA kernels run on CUDA devices" in process.stdout


def test_the_command_tells_right_from_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = {"layer_norm": (float("inf"), "y (3, 5), not the same bits twice")}
    monkeypatch.setattr(command, "cuda_library", lambda: None)
    monkeypatch.setattr(command, "largest_error", lambda name, *_: errors.get(name, (0.5, "y (2, 3)")))
    assert command._check(1) == 1
    lines = capsys.readouterr().out
    assert "layer_norm: WRONG, largest error inf" in lines and "bias_gelu: right" in lines
    errors.clear()
    assert command._check(1) == 0


def test_the_self_check_finds_what_is_not_written(emulated: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "launch", lambda *_: None)
    for name in OPERATIONS:
        assert selfcheck.largest_error(name, emulated, 1, "cpu")[0] == float("inf"), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_tensors_of_two_dtypes_are_refused(emulated: Library, dtype: torch.dtype) -> None:
    x, bias = torch.ones(2, 8), torch.ones(8, dtype=dtype)
    with pytest.raises(KernelError, match=f"given torch.float32 on cpu and {dtype} on cpu"):
        bias_gelu.launch_forward(emulated, x, bias, True)


def test_tensors_of_two_devices_are_refused(emulated: Library) -> None:
    x, keys = torch.ones(2, 8), torch.ones(2, dtype=torch.int64, device="meta")
    with pytest.raises(KernelError, match="layer_norm_forward was given tensors on cpu, meta; it wants one"):
        emulated.launch("layer_norm_forward", x, keys)
