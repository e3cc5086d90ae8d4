"""Tensors of a file that are read when they are asked for: which bytes, and how they are seen."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from megatron_bio.convert.torch_file.refusal import Refused, shown
from megatron_bio.convert.torch_file.region import FileRegion

STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
"""Classes of storages by name, in torch, torch.cuda and torch.storage."""
_MOST_DIMENSIONS = 32
_LARGEST_SIZE = 1 << 48


@dataclass(eq=False)
class Storage:
    """Bytes that lie in the file one after the other; several tensors may be views of them."""

    size: int
    place: tuple[FileRegion, int] | None = None
    """Where it begins; in the legacy format known when the whole pickle was read."""
    big_endian: bool = False


@dataclass(frozen=True, eq=False)
class StorageView:
    """A storage, or a part of one, as numbers of a dtype; offset and size in bytes."""

    whole: Storage
    dtype: torch.dtype
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class LazyTensor:
    """A tensor that stays in its file until `read`."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    view: StorageView
    offset: int
    """First element, counted in elements from the start of the storage."""
    stride: tuple[int, ...]

    def described(self) -> Tensor:
        """Return a tensor on the meta device with this shape and dtype."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def read(self) -> Tensor:
        """Return the contiguous tensor; nobody else holds its memory. Raises `ConvertError` if the file is too short."""
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        assert self.view.whole.place is not None, "tensors are handed out when their storages were found"
        region, start = self.view.whole.place
        start += self.view.offset + self.offset * self.dtype.itemsize
        raw = region.read_bytes(start, _span(self.shape, self.stride) * self.dtype.itemsize)
        if self.view.whole.big_endian:
            _swap_bytes(raw, self.dtype)
        # Any other byte than 0 and 1 would be a bool that is neither.
        flat = raw.ne(0) if self.dtype is torch.bool else raw.view(self.dtype)
        return flat.as_strided(self.shape, self.stride).contiguous()


def lazy_tensor(view: Any, dtype: Any, offset: Any, shape: Any, stride: Any) -> LazyTensor:
    """Return the view of a storage that a file describes; raises `Refused` for one that does not lie within it."""
    if not isinstance(view, StorageView) or not isinstance(dtype, torch.dtype):
        raise Refused("a tensor is described without a storage and a dtype")
    if not (_are_sizes(shape) and _are_sizes(stride) and _are_sizes((offset,)) and len(shape) == len(stride)):
        raise Refused(
            f"a tensor has shape {shown(shape)}, strides {shown(stride)} and offset {shown(offset)}"
        )
    shape, stride = tuple(shape), tuple(stride)
    if math.prod(size or 1 for size in shape) >= _LARGEST_SIZE:
        raise Refused(f"a tensor has shape {shape}")
    held = view.size // dtype.itemsize
    if 0 not in shape:
        if math.prod(shape) > held:
            raise Refused(
                f"a tensor of shape {shape} has {math.prod(shape):,} elements, its storage {held:,}; tensors that repeat their "
                f"elements must be saved with .contiguous()"
            )
        if offset + _span(shape, stride) > held:
            raise Refused(
                f"a tensor of shape {shape}, strides {stride} and offset {offset:,} leaves its storage of {held:,} elements"
            )
    return LazyTensor(shape, dtype, view, offset, stride)


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to the last, both counted."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def _are_sizes(values: Any) -> bool:
    return (
        type(values) in (tuple, list)
        and len(values) <= _MOST_DIMENSIONS
        and all(type(value) is int and 0 <= value < _LARGEST_SIZE for value in values)
    )


def _swap_bytes(raw: Tensor, dtype: torch.dtype) -> None:
    width = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    if width > 1:
        raw.numpy().view(f"u{width}").byteswap(inplace=True)
