"""Safetensors files read tensor by tensor, without trusting their headers.

Format: 8 bytes with the header's length (little-endian), the header in JSON ({name: {dtype, shape, data_offsets}}), data.
Source: github.com/huggingface/safetensors, README.md. Offsets must cover the data without holes and overlaps.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.sources import TensorSource

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }
)
LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000
METADATA = "__metadata__"


@dataclass(frozen=True)
class _Place:
    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    """Byte in the file."""
    end: int


class SafetensorsSource(TensorSource):
    """The tensors of one or more files. Raises `ConvertError` for a file that is cut off or whose header lies."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._places: dict[str, _Place] = {}
        for file in files:
            for name, place in _read_header(file).items():
                if name in self._places:
                    raise ConvertError(
                        f"{file}: expected each tensor in one file; {name} is in {self._places[name].file.name} too. Remove "
                        f"the file that does not belong to the others."
                    )
                self._places[name] = place

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes, in the order of the headers."""
        return {
            name: torch.empty(place.shape, dtype=place.dtype, device="meta")
            for name, place in self._places.items()
        }

    def file_of(self, name: str) -> Path:
        """Return the file that a tensor is in."""
        return self._places[name].file

    def read(self, name: str) -> Tensor:
        """Return one tensor, read straight into its memory."""
        place = self._places[name]
        result = torch.empty(place.shape, dtype=place.dtype)
        if result.numel() == 0:
            return result
        with place.file.open("rb", buffering=0) as stream:
            stream.seek(place.start)
            rest = memoryview(result.view(-1).view(torch.uint8).numpy())
            while rest:
                count = stream.readinto(rest)
                if not count:
                    raise ConvertError(f"{place.file}: it became shorter while it was read.")
                rest = rest[count:]
        return result


def _read_header(file: Path) -> dict[str, _Place]:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
            if size < LENGTH_BYTES or length > min(LONGEST_HEADER, size - LENGTH_BYTES):
                raise _damaged(file, f"it has {size:,} bytes, too few for a header of {length:,}")
            header = json.loads(stream.read(length).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ConvertError):
            raise
        raise _damaged(file, f"its header is not readable JSON: {error}") from error
    if not isinstance(header, dict):
        raise _damaged(file, f"its header is a {type(header).__name__}, expected an object")
    first = LENGTH_BYTES + length
    places = {name: _place(file, name, entry, first) for name, entry in header.items() if name != METADATA}
    _require_cover(file, places, first, size)
    return places


def _place(file: Path, name: str, entry: Any, first: int) -> _Place:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(
            file, f"{name}: expected dtype, shape and data_offsets, found {entry!r:.80}"
        ) from error
    if dtype not in DTYPES:
        raise ConvertError(f"{file}: {name} is stored as {dtype!r}; expected one of {', '.join(DTYPES)}.")
    numbers = [*shape, start, end] if isinstance(shape, list) else [None]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise _damaged(file, f"{name}: expected whole numbers from 0 on, found {entry!r:.80}")
    needed = prod(shape) * DTYPES[dtype].itemsize
    if end - start != needed:
        raise _damaged(
            file, f"{name}: {dtype} {shape} needs {needed:,} bytes, its offsets span {end - start:,}"
        )
    return _Place(file, DTYPES[dtype], tuple(shape), first + start, first + end)


def _require_cover(file: Path, places: Mapping[str, _Place], first: int, size: int) -> None:
    at = first
    for name, place in sorted(places.items(), key=lambda item: (item[1].start, item[1].end)):
        if place.start != at:
            kind = "overlaps the tensor before it" if place.start < at else "leaves a hole before it"
            raise _damaged(file, f"{name} {kind}: it begins at byte {place.start:,}, expected {at:,}")
        at = place.end
    if at != size:
        raise _damaged(file, f"its header describes {at:,} bytes, the file has {size:,}")


def _damaged(file: Path, reason: str) -> ConvertError:
    return ConvertError(
        f"{file}: damaged or cut off: {reason}. Copy it again from its source, and compare the sizes."
    )
