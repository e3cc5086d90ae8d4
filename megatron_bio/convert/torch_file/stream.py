"""A file of torch.save written with one tensor in memory.

torch writes the structure and leaves room for the tensors (`torch.serialization.skip_data`); our reader says where each lies, and
there its bytes are written. The zip file's checksums of tensors are then those of the room; torch does not compare them.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.tensors import LazyTensor


@dataclass(frozen=True, eq=False)
class Later:
    """A tensor that is read when it is written."""

    described: Tensor
    """Its shape and dtype, on the meta device."""
    read: Callable[[], Tensor]

    @property
    def shape(self) -> torch.Size:
        """Its shape."""
        return self.described.shape


def write_torch_file(path: Path, content: Any) -> None:
    """Write what `torch.load` reads as `content`, a structure of dicts, lists and plain values with a `Later` for each tensor."""
    with FakeTensorMode():
        empty = _mapped(content)
    with torch.serialization.skip_data(materialize_fake_tensors=True), path.open("wb") as file:
        torch.save(empty, file)
    places = _pairs(content, open_torch_file(path))
    with path.open("r+b") as file:
        for later, lazy in places:
            tensor = later.read().contiguous()
            assert tensor.shape == lazy.shape and tensor.dtype is lazy.dtype, (
                "a tensor is what it was said to be"
            )
            assert lazy.view.whole.place is not None
            region, start = lazy.view.whole.place
            file.seek(region.start + start)
            file.write(tensor.flatten().view(torch.uint8).numpy())
        file.flush()
        os.fsync(file.fileno())


def _mapped(value: Any) -> Any:
    """Return the structure with an empty tensor for each one that comes later."""
    if isinstance(value, Later):
        return torch.empty(value.described.shape, dtype=value.described.dtype)
    if isinstance(value, dict):
        return {key: _mapped(item) for key, item in value.items()}
    return [_mapped(item) for item in value] if isinstance(value, list) else value


def _pairs(content: Any, written: Any) -> Iterator[tuple[Later, LazyTensor]]:
    """Yield each tensor that comes later with its place in the file."""
    if isinstance(content, Later):
        yield content, written
    elif isinstance(content, dict):
        for key, item in content.items():
            yield from _pairs(item, written[key])
    elif isinstance(content, list):
        for item, place in zip(content, written, strict=True):
            yield from _pairs(item, place)
