"""Arrays and scalars of numpy, as states of random generators hold them, built from their bytes by us."""

import math
from typing import Any

import numpy as np

from megatron_bio.convert.torch_file.refusal import Budget, Refused, shown

_DTYPES = {
    *("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"),
    *("f2", "f4", "f8", "c8", "c16"),
}
"""Numbers of fixed width; text, records, times and objects are none."""
_MOST_DIMENSIONS = 32


class NumpyDtype:
    """A dtype of numpy while it is read: its code and the byte order that follows it."""

    def __init__(self, *arguments: Any) -> None:
        code = arguments[0] if arguments else None
        if len(arguments) > 3 or type(code) is not str or code not in _DTYPES:
            raise Refused(f"a numpy array has the dtype {shown(code)}; only plain numbers are read")
        self.code = code
        self.order = "<"

    def build(self, state: Any) -> None:
        """Take the byte order of a dtype's state: version, byte order, and nothing of a record."""
        if (
            type(state) is not tuple
            or not 5 <= len(state) <= 9
            or any(field is not None for field in state[2:5])
            or type(state[1]) is not str
            or state[1] not in ("<", ">", "|", "=")
        ):
            raise Refused("the dtype of a numpy array has fields; only plain numbers are read")
        self.order = ">" if state[1] == ">" else "<"

    def dtype(self) -> np.dtype[Any]:
        """Return numpy's own."""
        return np.dtype(self.order + self.code)


def empty_array(*arguments: Any) -> np.ndarray[Any, Any]:
    """Return the array that `build_array` fills. `_reconstruct(ndarray, (0,), b"b")` in pickles."""
    if len(arguments) != 3 or shown(arguments[1]) != "(0,)":
        raise Refused("a numpy array is made in an unknown way")
    return np.empty(0, dtype="i1")


def build_array(array: np.ndarray[Any, Any], state: Any, budget: Budget) -> None:
    """Give an array its state: version, shape, dtype, whether columns come first, bytes."""
    if type(state) is not tuple or len(state) != 5 or type(state[3]) not in (bool, int):
        raise Refused("a numpy array has an unknown state")
    _, shape, dtype, by_column, raw = state
    checked = _checked_dtype(dtype, shape, raw, budget)
    array.__setstate__((1, shape, checked, bool(by_column), bytes(raw)))


def array_of_bytes(budget: Budget, *arguments: Any) -> np.ndarray[Any, Any]:
    """Return an array from bytes, dtype, shape and order. `_frombuffer` in pickles of protocol 5."""
    if len(arguments) != 4 or shown(arguments[3]) not in ("'C'", "'F'"):
        raise Refused("a numpy array is made in an unknown way")
    raw, dtype, shape, order = arguments
    checked = _checked_dtype(dtype, shape, raw, budget)
    return np.frombuffer(bytes(raw), dtype=checked).reshape(shape, order=order).copy(order=order)


def scalar(*arguments: Any) -> np.generic:
    """Return a scalar from dtype and bytes."""
    if len(arguments) != 2:
        raise Refused("a numpy scalar is made in an unknown way")
    dtype, raw = arguments
    value: np.generic = np.frombuffer(raw, dtype=_checked_dtype(dtype, (), raw, Budget(64)))[0]
    return value


def _checked_dtype(dtype: Any, shape: Any, raw: Any, budget: Budget) -> np.dtype[Any]:
    if type(dtype) is not NumpyDtype or type(raw) not in (bytes, bytearray):
        raise Refused("a numpy array has no dtype of plain numbers and no bytes")
    if (
        type(shape) is not tuple
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(size) is int and 0 <= size < 1 << 40 for size in shape)
    ):
        raise Refused(f"a numpy array has for its shape {shown(shape)}")
    checked = dtype.dtype()
    if math.prod(shape) * checked.itemsize != len(raw) or math.prod(size or 1 for size in shape) >= 1 << 48:
        raise Refused(f"a numpy array of shape {shape} and dtype {checked} has {len(raw):,} bytes")
    budget.take(2 * len(raw))
    return checked
