"""The names that a pickle may use, and what they become. Nothing is imported for it, and nothing of the file is called."""

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from megatron_bio.convert.torch_file import numpy_values
from megatron_bio.convert.torch_file.refusal import Budget, Refused, shown
from megatron_bio.convert.torch_file.tensors import STORAGE_DTYPES, LazyTensor, StorageView, lazy_tensor
from megatron_bio.convert.torch_file.values import Placeholder, Reference, StorageType, check_key, pairs

_PLACEHOLDER_PACKAGES = {
    *("megatron", "fp16", "apex", "transformer_engine"),
    *("nemo", "omegaconf", "pytorch_lightning", "lightning", "lightning_fabric"),
}
"""Packages whose classes stand in arguments and optimizer states. `fp16` is where Megatron 1 had its loss scaler."""
_PLACEHOLDERS = {
    ("_io", "BytesIO"),  # Transformer Engine's extra states
    ("types", "SimpleNamespace"),
    *(("pathlib", name) for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")),
}
_WORDS = {
    *(("builtins", name) for name in ("object", "dict", "list", "tuple", "int", "float", "str", "bool")),
    *(("torch", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.nn", "Parameter")),
    *(("numpy", "ndarray"), ("typing", "Any")),
}
"""Names that stand for themselves and are never called."""
_DTYPES = {
    name: value
    for name, value in vars(torch).items()
    if isinstance(value, torch.dtype) and not name.startswith(("q", "bits", "uint1_", "int1_"))
}
_LAYOUTS = ("torch.strided", "torch.sparse_coo")
_DEVICES = ("cpu", "cuda", "xla", "meta", "mps", "xpu", "hpu")


class Names:
    """Names to values, calls to our constructors, states to what was constructed."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._constructors = self._allowed()

    def find(self, module: str, name: str) -> Any:
        """Return what a name stands for; raises `Refused` for one that is not allowed."""
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGE_DTYPES:
            return StorageType(module, name, STORAGE_DTYPES[name])
        if (module, name) in self._constructors:
            return Reference(module, name, self._constructors[module, name])
        if (module, name) in _WORDS:
            return Reference(module, name)
        if module.split(".")[0] in _PLACEHOLDER_PACKAGES or (module, name) in _PLACEHOLDERS:
            return Reference(module, name, lambda *arguments: Placeholder(module, name, arguments))
        raise Refused(
            f"it names {f'{module}.{name}'[:200]!r}, which is no tensor, number, text or setting; it was not called"
        )

    def call(self, function: Any, arguments: Any) -> Any:
        """Return what our constructor for the name makes of the arguments."""
        if not isinstance(function, Reference) or function.make is None:
            raise Refused(
                f"it calls {function!r:.200}" if isinstance(function, Reference) else "it calls a value"
            )
        if type(arguments) is not tuple:
            raise Refused(f"it calls {function!r:.200} without a tuple of arguments")
        return function.make(*arguments)

    def call_with_keywords(self, function: Any, arguments: Any, keywords: Any) -> Any:
        """As `call`; keywords are for placeholders only."""
        made = self.call(function, arguments)
        if keywords and not (isinstance(made, Placeholder) and type(keywords) is dict):
            raise Refused(f"it calls {function!r:.200} with keywords")
        if keywords:
            made.keywords = keywords
        return made

    def build(self, value: Any, state: Any) -> None:
        """Give `value` its state."""
        if isinstance(value, Placeholder):
            value.state = state
        elif type(value) is Namespace:
            _fill_namespace(value, state)
        elif type(value) is OrderedDict:
            # A state dict of a module has the versions of its layers in an attribute, which nobody needs.
            pass
        elif type(value) is np.ndarray:
            numpy_values.build_array(value, state, self._budget)
        elif isinstance(value, numpy_values.NumpyDtype):
            value.build(state)
        else:
            raise Refused(f"it gives a state to {shown(value)}")

    def _allowed(self) -> dict[tuple[str, str], Callable[..., Any]]:
        constructors: dict[tuple[str, str], Callable[..., Any]] = {
            ("argparse", "Namespace"): _new(Namespace),
            ("collections", "OrderedDict"): self._ordered_dict,
            ("collections", "defaultdict"): _default_dict,
            ("builtins", "set"): lambda *arguments: set(self._elements(*arguments)),
            ("builtins", "frozenset"): lambda *arguments: frozenset(self._elements(*arguments)),
            ("builtins", "bytearray"): lambda *arguments: bytearray(self._encoded(*arguments)),
            ("builtins", "bytes"): lambda *arguments: bytes(self._encoded(*arguments)),
            ("builtins", "complex"): _complex,
            ("copyreg", "_reconstructor"): self._reconstructor,
            ("_codecs", "encode"): self._encoded,
            ("numpy", "dtype"): numpy_values.NumpyDtype,
            ("torch", "Size"): _size,
            ("torch", "device"): _device,
            ("torch.serialization", "_get_layout"): _layout,
            ("torch._utils", "_rebuild_tensor"): _tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
            ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
            ("torch._tensor", "_rebuild_from_type_v2"): self._tensor_with_attributes,
        }
        for package in ("numpy.core", "numpy._core"):
            constructors |= {
                (f"{package}.multiarray", "_reconstruct"): numpy_values.empty_array,
                (f"{package}.multiarray", "scalar"): numpy_values.scalar,
                (f"{package}.numeric", "_frombuffer"): lambda *arguments: numpy_values.array_of_bytes(
                    self._budget, *arguments
                ),
            }
        return constructors

    def _ordered_dict(self, *arguments: Any) -> OrderedDict[Any, Any]:
        if len(arguments) > 1:
            raise Refused("an OrderedDict is made of several things")
        items = pairs(arguments[0]) if arguments else []
        self._budget.take(200 * len(items))
        return OrderedDict(items)

    def _elements(self, *arguments: Any) -> list[Any]:
        elements = arguments[0] if len(arguments) == 1 else [] if not arguments else None
        if type(elements) not in (list, tuple):
            raise Refused("a set is made of something else than a list")
        self._budget.take(100 * len(elements))
        return [check_key(element) for element in elements]

    def _encoded(self, *arguments: Any) -> bytes:
        """Return text as the bytes that it stands for: pickles of protocol 2 have no bytes of their own."""
        text, encoding = (*arguments, None, None)[:2]
        if not arguments:
            return b""
        if type(text) is bytes and len(arguments) == 1:
            self._budget.take(len(text))
            return text
        if (
            type(text) is not str
            or shown(encoding) not in ("'latin1'", "'latin-1'", "'utf-8'")
            or len(arguments) != 2
        ):
            raise Refused("bytes are made of something else than text")
        self._budget.take(2 * len(text))
        try:
            return text.encode(str(encoding))
        except UnicodeEncodeError as error:
            raise Refused("bytes are made of text with other characters") from error

    def _reconstructor(self, *arguments: Any) -> Any:
        if len(arguments) != 3 or not isinstance(arguments[1], Reference) or arguments[1].name != "object":
            raise Refused("an object is made in an unknown way")
        return self.call(arguments[0], ())

    def _tensor_with_attributes(self, *arguments: Any) -> Any:
        if (
            len(arguments) != 4
            or not isinstance(arguments[0], Reference)
            or arguments[0].module != "torch._utils"
        ):
            raise Refused("a tensor is made in an unknown way")
        return self.call(arguments[0], arguments[2])


def _new(kind: type) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        if arguments:
            raise Refused(f"a {kind.__name__} is made with arguments")
        return kind()

    return make


def _fill_namespace(namespace: Namespace, state: Any) -> None:
    if type(state) is not dict or not all(type(name) is str for name in state):
        raise Refused("a Namespace has something else than named values")
    for name in state:
        if name.startswith("__") or name in ("_get_args", "_get_kwargs"):
            raise Refused(f"a Namespace has a value named {name[:80]!r}")
    vars(namespace).update(state)


def _default_dict(*arguments: Any) -> dict[Any, Any]:
    if len(arguments) > 1 or not all(
        isinstance(argument, Reference) or argument is None for argument in arguments
    ):
        raise Refused("a defaultdict is made in an unknown way")
    return {}


def _complex(*arguments: Any) -> complex:
    if len(arguments) != 2 or not all(type(part) is float for part in arguments):
        raise Refused("a complex number is made of something else than two numbers")
    return complex(*arguments)


def _size(*arguments: Any) -> tuple[Any, ...]:
    if (
        len(arguments) != 1
        or type(arguments[0]) is not tuple
        or not all(type(size) is int for size in arguments[0])
    ):
        raise Refused("a shape is made of something else than numbers")
    return arguments[0]


def _device(*arguments: Any) -> torch.device:
    kind, index = (*arguments, 0)[:2] if arguments else (None, None)
    if type(kind) is not str or kind not in _DEVICES or type(index) is not int or not 0 <= index < 128:
        raise Refused("a device is made of something else than a kind and a number")
    return torch.device(*arguments[:2])


def _layout(*arguments: Any) -> Reference:
    if len(arguments) != 1 or type(arguments[0]) is not str or arguments[0] not in _LAYOUTS:
        raise Refused("a layout is made in an unknown way")
    return Reference("torch", arguments[0].removeprefix("torch."))


def _tensor(*arguments: Any) -> LazyTensor:
    if len(arguments) != 4:
        raise Refused("a tensor is made in an unknown way")
    view, offset, shape, stride = arguments
    return lazy_tensor(view, view.dtype if isinstance(view, StorageView) else None, offset, shape, stride)


def _tensor_v2(*arguments: Any) -> LazyTensor:
    if not 6 <= len(arguments) <= 7:
        raise Refused("a tensor is made in an unknown way")
    _require_no_bits(arguments[6:])
    return _tensor(*arguments[:4])


def _tensor_v3(*arguments: Any) -> LazyTensor:
    if not 7 <= len(arguments) <= 8:
        raise Refused("a tensor is made in an unknown way")
    _require_no_bits(arguments[7:])
    view, offset, shape, stride, _, _, dtype = arguments[:7]
    return lazy_tensor(view, dtype, offset, shape, stride)


def _require_no_bits(metadata: tuple[Any, ...]) -> None:
    """A tensor may be marked as conjugate or negative, so that its bytes are not its values."""
    if any(type(bits) is not dict and bits is not None for bits in metadata) or any(
        bits and any(value is not False for value in bits.values()) for bits in metadata
    ):
        raise Refused(
            "a tensor is a conjugate that was not resolved; save it with .resolve_conj().resolve_neg()"
        )


def _parameter(*arguments: Any) -> LazyTensor:
    if not 3 <= len(arguments) <= 4 or not isinstance(arguments[0], LazyTensor):
        raise Refused("a parameter is made of something else than a tensor")
    return arguments[0]
