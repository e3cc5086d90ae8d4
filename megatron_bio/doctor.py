"""`megatron-bio doctor`: what this machine has, what each thing means for the user, and what can be done here.

Nothing that is missing is an error. Nothing is changed, compiled or downloaded.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, ModuleType

from rich.console import Console
from rich.table import Table

from megatron_bio import __version__, native
from megatron_bio.config.doctor import DoctorOptions

MISSING = "missing"
GIB = 2**30
LITTLE_DISK_GIB = 20
PIPED_WIDTH = 120
BYTES_PER_PARAMETER = 16
"""Training state in float32: weight, gradient and AdamW's two moments."""
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})

LIBRARIES = MappingProxyType(
    {
        "transformers": (
            "convert checks exports with it",
            "convert cannot check an export: pip install 'megatron-bio[hf]'",
        ),
        "megatron-core": ("one more oracle in the tests", "its tests are skipped; nothing else uses it"),
        "transformer-engine": (
            "training.norm and training.linear (FP8) may name it, see docs/implementations.md",
            "no FP8: pip install --no-build-isolation 'megatron-bio[te]' where a CUDA device, nvcc and cuDNN are",
        ),
        "tensorboard": (
            "pretrain draws its curves with it",
            "pretrain does not start: pip install tensorboard",
        ),
        "isal": ("reads .gz at twice the usual speed", "no corpus can be read: pip install isal"),
        "zstandard": (
            "reads and writes .jsonl.zst",
            "no corpus can be read or written: pip install zstandard",
        ),
    }
)
"""Package to what it means here if it is there, and if it is missing."""

APEX_EXTENSIONS = ("amp_C", "fused_layer_norm_cuda")
COMPILERS = ("gcc", "g++", "nvcc", "ninja")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    found: str
    meaning: str


def doctor(options: DoctorOptions) -> None:
    """Print the findings about this machine and what can be done on it."""
    torch, problem = _import_torch()
    findings = [
        *_machine(),
        *(_torch(torch) if torch else [Finding("torch", problem, "no training and no conversion here")]),
        _compiled_parts(),
        *_kernels(torch),
        *(_compiler(name) for name in COMPILERS),
        *(_library(name) for name in LIBRARIES),
        _apex(),
        *_surroundings(),
    ]
    conclusion = _conclusion(torch)
    if options.json:
        content = {"findings": [asdict(finding) for finding in findings], "conclusion": conclusion}
        print(json.dumps(content, indent=1))
        return
    table = Table("what", "found", "what it means for you", title=f"megatron-bio {__version__}")
    for finding in findings:
        table.add_row(finding.what, finding.found, finding.meaning)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False, highlight=False)
    console.print(table)
    console.print(conclusion)


def _import_torch() -> tuple[ModuleType | None, str]:
    try:
        import torch
    except (ImportError, OSError) as error:
        # OSError: a library that torch loads is damaged or for another machine.
        return None, f"{MISSING}: {error}"
    return torch, ""


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = memory_bytes()
    if memory:
        room = f"{memory / BYTES_PER_PARAMETER / 1e6:,.0f} M parameters"
        meaning = f"float32 training state of up to {room}, activations not counted"
    else:
        meaning = f"training needs {BYTES_PER_PARAMETER} bytes per parameter and room for activations"
    return [
        Finding("Python", platform.python_version(), sys.executable),
        Finding("platform", platform.platform(), f"machine type {platform.machine()}"),
        Finding(
            "processor", f"{cores} cores", "what preprocess and training can share among their processes"
        ),
        Finding("memory", f"{memory / GIB:.1f} GiB" if memory else "not known", meaning),
        _bfloat16(),
    ]


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or the container's limit if lower; 0 if not known."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _bfloat16() -> Finding:
    what, compare = "bf16 on the CPU", "if training is slow, compare --training.precision fp32"
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return Finding(what, "not known", compare)
    if found := sorted(BFLOAT16_FLAGS & words):
        return Finding(what, ", ".join(found), "training.precision bf16 is fast here")
    return Finding(what, "not in hardware", f"it is emulated: {compare}")


def _torch(torch: ModuleType) -> list[Finding]:
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs only"
    return [Finding("torch", torch.__version__, build), *_cuda(torch), _distributed(torch.distributed)]


def _cuda(torch: ModuleType) -> list[Finding]:
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return [
            Finding(
                f"CUDA device {index}",
                f"{device.name}, {device.total_memory / GIB:.0f} GiB",
                f"pretrain uses it with training.device auto; compute capability {device.major}.{device.minor}",
            )
            for index, device in enumerate(devices)
        ]
    if shutil.which("nvidia-smi") and not torch.version.cuda:
        meaning = "there is an NVIDIA driver, but torch is the build for CPUs: install the one for CUDA"
        return [Finding("CUDA devices", "not usable", meaning)]
    return [Finding("CUDA devices", "none", "everything runs on the CPU")]


def _distributed(distributed: ModuleType) -> Finding:
    what = "several processes"
    if not distributed.is_available():
        return Finding(
            what, "none", "pretrain does not start: this torch was built without torch.distributed"
        )
    there = {"gloo": distributed.is_gloo_available(), "nccl": distributed.is_nccl_available()}
    found = ", ".join(name for name, available in there.items() if available)
    return Finding(what, found or "none", "torchrun works: gloo for CPUs, nccl for CUDA devices")


def _kernels(torch: ModuleType | None) -> list[Finding]:
    """The library of CUDA kernels, and one finding per operation that it has."""
    what, reference = "CUDA kernels", "reference (plain torch)"
    if torch is None:
        return [Finding(what, "not known", "they run on torch's tensors only")]
    from megatron_bio.kernels.choice import MEASURED_WINS, OPERATIONS, obstacle
    from megatron_bio.kernels.library import open_library
    from megatron_bio.kernels.variable_length import obstacle_of_machine

    library, reason = open_library()
    meaning = "python -m megatron_bio.kernels checks them" if library else f"torch's operations run: {reason}"
    findings = [Finding(what, str(library.path) if library else MISSING, meaning)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    problem = obstacle(device)
    for name in OPERATIONS:
        wins = name in MEASURED_WINS
        why = problem or (
            "measured to be faster" if wins else "not measured to be faster; training.kernels cuda runs it"
        )
        findings.append(Finding(f"kernel: {name}", "active" if wins and not problem else reference, why))
    problem = obstacle_of_machine(device)
    found = (
        "not here: attention by a mask" if problem else "active in bf16 and fp16 without attention dropout"
    )
    findings.append(Finding("variable-length attention", found, problem or "rows cost what their samples do"))
    return findings


def _compiled_parts() -> Finding:
    what = "compiled parts"
    if native.compiled is None:
        remedy = "install a C++17 compiler and install again; until then the same is done more slowly"
        return Finding(what, f"{MISSING}: {native.reason}", remedy)
    return Finding(
        what, "active", "extract pmc and extract pubmed read with them, preprocess encodes WordPiece"
    )


def _compiler(name: str) -> Finding:
    path = shutil.which(name)
    meaning = {
        "g++": "pip install builds the compiled parts with it",
        "nvcc": "pip install builds the CUDA kernels with it; CUDA_HOME may say where it is",
    }.get(name, "not needed by this version")
    return Finding(name, f"{_program_version(path)} ({path})" if path else MISSING, meaning)


def _program_version(path: str) -> str:
    try:
        process = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "does not start"
    numbers = re.findall(r"(?:release |^|\s)(\d+\.\d+(?:\.\d+)?)", process.stdout)
    return numbers[0] if numbers else "version not known"


def _library(name: str) -> Finding:
    there, missing = LIBRARIES[name]
    try:
        return Finding(name, version(name) or "version not known", there)
    except PackageNotFoundError:
        return Finding(name, MISSING, missing)


def _apex() -> Finding:
    """NVIDIA's apex by its extensions: the package index has another project under its name."""
    missing = [module for module in APEX_EXTENSIONS if find_spec(module) is None]
    if not missing:
        meaning = "training.norm and optimizer.implementation may name it, see docs/implementations.md"
        return Finding("apex", "with its CUDA extensions", meaning)
    meaning = "nothing else needs it; it is built from github.com/NVIDIA/apex with its CUDA extensions"
    return Finding("apex", f"{MISSING}: {', '.join(missing)}", meaning)


def _surroundings() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    enough = "enough for the quickstart" if free < LITTLE_DISK_GIB else "room for a corpus and checkpoints"
    threads = os.environ.get("OMP_NUM_THREADS")
    return [
        Finding("free disk here", f"{free:.1f} GiB", f"{enough}; a checkpoint takes 12 bytes per parameter"),
        Finding(
            "OMP_NUM_THREADS",
            threads or "not set",
            "threads of each training process on the CPU; torchrun sets 1 if it is not set: give cores / processes",
        ),
    ]


def _conclusion(torch: ModuleType | None) -> str:
    if torch is None:
        return (
            "On this machine: extract, vocabulary and preprocess work; training and conversion need torch "
            "(pip install torch)."
        )
    if count := torch.cuda.device_count():
        return (
            f"On this machine: everything, training on {count} CUDA device{'s' if count > 1 else ''}: "
            f"torchrun --nproc-per-node {count} -m megatron_bio pretrain --config FILE.yaml"
        )
    return (
        "On this machine: everything, with training on the CPU: right for the quickstart and small models. "
        "The published sizes (345 M parameters and more) want CUDA devices."
    )
