"""A foreign format as an invertible table: which of its tensors one of ours becomes, and how.

A table has every parameter of a model once, under the names of `models.build.build_model`, whole: not cut by any layout.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from megatron_bio.convert.sources import TensorSource
from megatron_bio.convert.transformations import Same, Transformation


@dataclass(frozen=True)
class Entry:
    """One tensor of ours, the foreign ones it becomes, and how."""

    ours: str
    foreign: tuple[str, ...]
    transformation: Transformation


Table = tuple[Entry, ...]


def entry(ours: str, foreign: str, transformation: Transformation | None = None) -> Entry:
    """Return the entry of a tensor that becomes one."""
    return Entry(ours, (foreign,), transformation or Same())


def weight_and_bias(ours: str, foreign: str, weight: Transformation | None = None) -> Table:
    """Return the two entries of a layer with a weight and a bias."""
    return (
        entry(f"{ours}.weight", f"{foreign}.weight", weight),
        entry(f"{ours}.bias", f"{foreign}.bias"),
    )


class AsForeign(TensorSource):
    """Our tensors under foreign names, rearranged when they are read."""

    def __init__(self, table: Table, ours: TensorSource) -> None:
        self._ours = ours
        self._places = {name: (item, place) for item in table for place, name in enumerate(item.foreign)}
        self._split: tuple[Entry, tuple[Tensor, ...]] | None = None

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes under the foreign names, in the order of the table."""
        ours = self._ours.described()
        parts = {
            name: item.transformation.to_foreign(ours[item.ours]) for name, (item, _) in self._places.items()
        }
        return {name: parts[name][place] for name, (_, place) in self._places.items()}

    def read(self, name: str) -> Tensor:
        """Return the contiguous foreign tensor.

        One of ours that becomes several is kept from the first of them to the last: they are read one after the other.
        """
        item, place = self._places[name]
        if self._split is None or self._split[0] is not item:
            self._split = item, item.transformation.to_foreign(self._ours.read(item.ours))
        parts = self._split[1]
        if place == len(parts) - 1:
            self._split = None
        return parts[place].contiguous()


class AsOurs(TensorSource):
    """Foreign tensors under our names, rearranged when they are read; rows of padding are zeros."""

    def __init__(self, table: Table, foreign: TensorSource) -> None:
        self._foreign = foreign
        self._entries = {item.ours: item for item in table}

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes under our names, in the order of the table."""
        foreign = self._foreign.described()
        return {
            name: item.transformation.to_ours(tuple(foreign[part] for part in item.foreign))
            for name, item in self._entries.items()
        }

    def read(self, name: str) -> Tensor:
        """Return our contiguous tensor."""
        item = self._entries[name]
        return item.transformation.to_ours(
            tuple(self._foreign.read(part) for part in item.foreign)
        ).contiguous()


def foreign_shapes(table: Table, ours: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return what the foreign tensors of a model must look like, from the shapes of ours."""
    shapes: dict[str, tuple[int, ...]] = {}
    for item in table:
        parts = item.transformation.to_foreign(torch.empty(ours[item.ours], device="meta"))
        shapes |= {name: tuple(part.shape) for name, part in zip(item.foreign, parts, strict=True)}
    return shapes


def table_names(table: Table) -> Iterator[str]:
    """Yield the foreign names in the order of the table."""
    for item in table:
        yield from item.foreign
