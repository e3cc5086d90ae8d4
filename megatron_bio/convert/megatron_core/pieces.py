"""The tensors of a torch_dist folder: where their pieces lie, and any box of one of them.

`.metadata` is torch's index of a distributed checkpoint, a pickle; Megatron Core adds its save plans to it. It is read by an
unpickler that knows descriptions only, and believed only where the files bear it out.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import planner
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, MetadataIndex

from megatron_bio.checkpoint.reader import read_index
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.region import FileRegion
from megatron_bio.convert.torch_file.tensors import LazyTensor

INDEX = ".metadata"
_PLANS = {
    ("torch.distributed.checkpoint.planner", name): getattr(planner, name)
    for name in ("SavePlan", "WriteItem", "WriteItemType", "TensorWriteData", "BytesIOWriteData")
    if hasattr(planner, name)
}
_MEGATRON = "megatron.core.dist_checkpointing.strategies.torch"
_OTHERS: dict[tuple[str, str], type] = {
    **_PLANS,
    (_MEGATRON, "MCoreMetadata"): Metadata,
    (_MEGATRON, "MCoreSavePlan"): planner.SavePlan,
}
"""What Megatron Core's index names besides ours: plans of the save, which nobody reads here."""


@dataclass(frozen=True)
class Piece:
    """A box of a tensor, saved by torch.save in a part of a file."""

    offset: tuple[int, ...]
    shape: tuple[int, ...]
    region: FileRegion


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in pieces."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: tuple[Piece, ...]

    def described(self) -> Tensor:
        """Shape and dtype, on the meta device."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def read(self, layer: int | None = None) -> Tensor:
        """Return the tensor, or entry `layer` of its first dimension; raises `ConvertError` for one with holes."""
        offset, shape = (0,) * len(self.shape), self.shape
        if layer is not None:
            offset, shape = (layer, *offset[1:]), (1, *shape[1:])
        pieces = [(piece, box) for piece in self.pieces if (box := _common(offset, shape, piece)) is not None]
        self._require_whole(pieces, shape)
        result = torch.empty(shape, dtype=self.dtype)
        for piece, (start, size) in pieces:
            target, source = result, self._load(piece)
            for dim, (first, count) in enumerate(zip(start, size, strict=True)):
                target = target.narrow(dim, first - offset[dim], count)
                source = source.narrow(dim, first - piece.offset[dim], count)
            target.copy_(source)
        return result if layer is None else result[0]

    def _load(self, piece: Piece) -> Tensor:
        stored = open_torch_file(piece.region)
        if not isinstance(stored, LazyTensor) or (stored.shape, stored.dtype) != (piece.shape, self.dtype):
            found = (
                f"{list(stored.shape)} of {stored.dtype}"
                if isinstance(stored, LazyTensor)
                else type(stored).__name__
            )
            raise ConvertError(
                f"{piece.region.name}: expected a piece {list(piece.shape)} of {self.dtype}, found {found}. The file and "
                f"{INDEX} do not belong together; copy the checkpoint again."
            )
        return stored.read()

    def _require_whole(
        self, pieces: list[tuple[Piece, tuple[tuple[int, ...], tuple[int, ...]]]], shape: tuple[int, ...]
    ) -> None:
        covered = sum(math.prod(size) for _, (_, size) in pieces)
        distinct = all(
            _common(first.offset, first.shape, second) is None
            for place, (first, _) in enumerate(pieces)
            for second, _ in pieces[:place]
        )
        if covered != math.prod(shape) or not distinct:
            raise ConvertError(
                f"{self.name}: its pieces hold {covered:,} elements, {'' if distinct else 'some of them twice, '}expected "
                f"{math.prod(shape):,}. The checkpoint is incomplete or damaged; copy it again."
            )


def read_pieces(folder: Path) -> tuple[dict[str, StoredTensor], list[str]]:
    """Return the tensors of a folder by name, and the names of the entries that are other objects.

    Raises `UserError` for an index that is damaged, made to harm, or describes what the files cannot hold.
    """
    index = read_index(folder / INDEX, _OTHERS)
    files: dict[str, FileRegion] = {}
    tensors, objects = {}, []
    try:
        for name, described in index.state_dict_metadata.items():
            if isinstance(described, BytesStorageMetadata):
                objects.append(str(name))
            else:
                tensors[str(name)] = _stored(folder, str(name), described, index.storage_data, files)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConvertError(
            f"{folder / INDEX}: it is no index that torch wrote: {error}. The file is damaged; copy the checkpoint again."
        ) from error
    return tensors, objects


def _stored(
    folder: Path, name: str, described: Any, places: dict[Any, Any], files: dict[str, FileRegion]
) -> StoredTensor:
    shape, dtype = tuple(described.size), described.properties.dtype
    pieces = []
    for chunk in described.chunks:
        offset, size = tuple(chunk.offsets), tuple(chunk.sizes)
        _require_box(folder, name, shape, offset, size)
        place = places.get(MetadataIndex(name, chunk.offsets))
        if place is None:
            raise ConvertError(f"{folder / INDEX}: {name} has a piece at {list(offset)} that is in no file.")
        region = _region(folder, name, place, files)
        if region.size < math.prod(size) * dtype.itemsize:
            raise ConvertError(
                f"{folder / INDEX}: a piece {list(size)} of {name} should lie in {region.size:,} bytes; it needs more. The "
                f"index is damaged."
            )
        pieces.append(Piece(offset, size, region))
    if (held := sum(math.prod(piece.shape) for piece in pieces)) != math.prod(shape):
        raise ConvertError(
            f"{folder / INDEX}: {name} of shape {list(shape)} has pieces of {held:,} elements in all. The checkpoint is "
            f"incomplete or damaged; copy it again."
        )
    return StoredTensor(name, shape, dtype, tuple(pieces))


def _require_box(
    folder: Path, name: str, shape: tuple[int, ...], offset: tuple[int, ...], size: tuple[int, ...]
) -> None:
    numbers = (*shape, *offset, *size)
    if (
        not len(shape) == len(offset) == len(size)
        or any(type(number) is not int or number < 0 for number in numbers)
        or any(first + count > whole for first, count, whole in zip(offset, size, shape, strict=True))
    ):
        raise ConvertError(
            f"{folder / INDEX}: {name} of shape {list(shape)} has a piece {list(size)} at {list(offset)}, which is not within "
            f"it. The index is damaged."
        )


def _region(folder: Path, name: str, place: Any, files: dict[str, FileRegion]) -> FileRegion:
    file = place.relative_path
    if type(file) is not str or Path(file).name != file:
        raise ConvertError(
            f"{folder / INDEX}: {name} lies in {file!r}, expected a file of this folder. Refused: the index is damaged or was "
            f"made to harm."
        )
    if getattr(place, "transform_descriptors", None):
        raise ConvertError(
            f"{folder / INDEX}: {name} is stored with {place.transform_descriptors}, expected tensors as torch.save writes "
            f"them. Save the checkpoint without compression."
        )
    if file not in files:
        if (folder / file).is_symlink():
            raise ConvertError(f"{folder / file}: expected a file of the checkpoint, found a link. Refused.")
        files[file] = FileRegion.of_file(folder / file)
    return files[file].part(place.offset, place.length, name)


def _common(
    offset: tuple[int, ...], shape: tuple[int, ...], piece: Piece
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return start and size of what a box and a piece share; None if that is nothing."""
    start = tuple(map(max, offset, piece.offset))
    ends = zip(offset, shape, piece.offset, piece.shape, strict=True)
    size = tuple(
        min(first + count, other + width) - begin
        for (first, count, other, width), begin in zip(ends, start, strict=True)
    )
    return (start, size) if all(count > 0 for count in size) else None
