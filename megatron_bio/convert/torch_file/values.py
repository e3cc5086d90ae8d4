"""What names of a pickle become: words that stand for themselves, and constructors of ours that nothing can misuse."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch

from megatron_bio.convert.torch_file.refusal import Refused, shown

_LARGEST_KEY = 1 << 60
_LONGEST_KEY = 8


class Reference:
    """A name in a pickle. It cannot be called; `make` is what calls of it in the pickle become, None if there is no such."""

    def __init__(self, module: str, name: str, make: Callable[..., Any] | None = None) -> None:
        self.module = module
        self.name = name
        self.make = make

    def __repr__(self) -> str:
        return f"<reference {self.module}.{self.name}>"


class StorageType(Reference):
    """The class of a storage."""

    def __init__(self, module: str, name: str, dtype: torch.dtype) -> None:
        super().__init__(module, name)
        self.dtype = dtype


class Placeholder:
    """An object of a class that is not loaded: what the pickle gave it, and nothing done with it."""

    def __init__(
        self, module: str, name: str, arguments: tuple[Any, ...], keywords: dict[Any, Any] | None = None
    ) -> None:
        self.module = module
        self.name = name
        self.arguments = arguments
        self.keywords = keywords or {}
        self.state: Any = None
        self.items: dict[Any, Any] = {}
        """What it holds if it is a kind of dict."""
        self.elements: list[Any] = []
        """What it holds if it is a kind of list."""

    def __repr__(self) -> str:
        return f"<placeholder of {self.module}.{self.name}>"


def check_key(value: Any) -> Hashable:
    """Return a value that can be a key; raises `Refused` for others, and for numbers made to collide."""
    if type(value) is tuple and len(value) <= _LONGEST_KEY:
        for item in value:
            _check_scalar_key(item)
        key: Hashable = value
        return key
    return _check_scalar_key(value)


def _check_scalar_key(value: Any) -> Hashable:
    plain = value is None or type(value) in (str, bytes, bool, float, torch.dtype, torch.device)
    if (
        plain
        or isinstance(value, Placeholder | Reference)
        or (type(value) is int and abs(value) < _LARGEST_KEY)
    ):
        key: Hashable = value
        return key
    raise Refused(f"a dict or set has the key {shown(value)}; keys are text and small numbers")


def pairs(value: Any) -> list[tuple[Hashable, Any]]:
    """Return a list of pairs as an OrderedDict is made of."""
    if type(value) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in value):
        raise Refused("a dict is made of something else than a list of pairs")
    return [(check_key(key), item) for key, item in value]


MAPPINGS = (dict, OrderedDict)
