"""The compiled CUDA kernels (`csrc/*.cu`), if they were built: found and opened at first use, called by `ctypes`.

The library has a plain C interface and knows nothing of torch, so one build serves every version of it. Nothing is compiled here.
"""

import ctypes
import functools
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

INTERFACE = 2
"""The number in `csrc/interface.cu`; both change with the launchers and their parameters."""
LONGEST_ROW = 8192
"""Elements of a row that a block holds in registers, as in `csrc/row.cuh`."""
DTYPES = MappingProxyType({torch.float32: 0, torch.bfloat16: 1, torch.float16: 2})
"""The dtypes that the kernels take, to their numbers in `csrc/launch.cuh`."""
_PREFIX = "megatron_bio_"


class KernelError(RuntimeError):
    """A kernel was called that is not there, with what it does not take, or did not start."""


class Library:
    """The launchers of one shared library; `LibraryError` of ctypes, an OSError, if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._functions = ctypes.CDLL(str(path))
        found = self._functions.megatron_bio_kernel_interface()
        if found != INTERFACE:
            raise OSError(f"{path} has interface {found}, this version wants {INTERFACE}: install again")

    def launch(self, operation: str, *arguments: Tensor | int | float | torch.dtype | None) -> None:
        """Start a kernel on the current stream of the first tensor's device.

        As in C: tensors are contiguous and become pointers, None the null pointer, int int64, float float32, a dtype its number.
        """
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
        first, devices = tensors[0], {tensor.device for tensor in tensors}
        if len(devices) > 1:
            raise KernelError(
                f"{operation} was given tensors on {', '.join(sorted(map(str, devices)))}; it wants one device"
            )
        converted = [_as_c(argument) for argument in arguments]
        function = getattr(self._functions, _PREFIX + operation)
        if first.is_cuda:
            with torch.cuda.device(first.device):
                stream = torch.cuda.current_stream().cuda_stream
                error = function(*converted, ctypes.c_void_p(stream))
        else:
            error = function(*converted, ctypes.c_void_p(None))
        if error:
            shapes = [tuple(tensor.shape) for tensor in tensors]
            raise KernelError(f"{operation} did not start: CUDA error {error}, tensors {shapes}")


def require_alike(first: Tensor, *others: Tensor) -> None:
    """Raise `KernelError` unless all tensors have the dtype and device of the first, which a pointer would not tell."""
    for other in others:
        if (other.dtype, other.device) != (first.dtype, first.device):
            raise KernelError(
                f"a kernel was given {first.dtype} on {first.device} and {other.dtype} on {other.device}; it wants one of both"
            )


def _as_c(argument: Tensor | int | float | torch.dtype | None) -> ctypes._SimpleCData:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, Tensor):
        assert argument.is_contiguous(), f"a kernel was given strides {argument.stride()}"
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, torch.dtype):
        if argument not in DTYPES:
            raise KernelError(f"the CUDA kernels take {', '.join(map(str, DTYPES))}; found {argument}")
        return ctypes.c_longlong(DTYPES[argument])
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_longlong(argument)


@functools.cache
def open_library() -> tuple[Library | None, str]:
    """Return the library, or None and why it is not there."""
    paths = sorted(Path(__file__).parent.glob("_cuda*.so"))
    if not paths:
        return None, "it was not built: pip install builds it where nvcc is in the PATH or in $CUDA_HOME/bin"
    try:
        return Library(paths[0]), ""
    except (OSError, AttributeError) as error:
        # AttributeError: a library that lacks the number of its interface.
        return None, str(error)


def cuda_library() -> Library:
    """Return the library; `KernelError` if it is not there."""
    library, reason = open_library()
    if library is None:
        raise KernelError(f"the library of CUDA kernels is not there: {reason}")
    return library
