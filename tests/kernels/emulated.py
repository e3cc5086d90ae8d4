"""What every kernel is asked on the emulated device."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch

from megatron_bio.kernels.library import DTYPES, Library
from megatron_bio.kernels.selfcheck import CASES, Comparison, Draw, poisoned_memory


def set_reversed(library: Library, reversed_order: bool) -> None:
    """Run the warps and lanes of a block from the last to the first, or from the first."""
    ctypes.CDLL(str(library.path)).emulation_reversed(int(reversed_order))


def run(operation: str, library: Library, seed: int, dtype: torch.dtype) -> list[Comparison]:
    """Run one case in memory that is full of NaN."""
    with poisoned_memory():
        return CASES[operation](library, Draw(seed, dtype, torch.device("cpu")))


def check(operation: str, library: Library, seeds: Sequence[int]) -> None:
    """Compare forward and backward with float64 in all dtypes; the order of threads must change no bit."""
    for dtype in DTYPES:
        for seed in seeds:
            set_reversed(library, False)
            found = run(operation, library, seed, dtype)
            set_reversed(library, True)
            again = run(operation, library, seed, dtype)
            set_reversed(library, False)
            for one, other in zip(found, again, strict=True):
                what = f"{operation}, {one.name} {tuple(one.found.shape)}, {dtype}, case {seed}"
                assert one.error <= 1.0, f"{what}: error {one.error:.2f} of what rounding explains"
                assert torch.equal(one.found, other.found), f"{what}: depends on the order of threads"


def check_operation(operation: Any, arguments: tuple[Any, ...]) -> None:
    """Let torch check schema, fake tensors and autograd registration of a custom operation."""
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(operation, arguments, test_utils=tests)
