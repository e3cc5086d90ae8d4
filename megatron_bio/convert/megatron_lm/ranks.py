"""Tensors of all ranks as whole tensors, and whole tensors as those of one rank.

A chunk is the part of the layers that one pipeline stage holds in one piece: with virtual stages it holds several, dealt in turn,
so that chunk c lies on stage c mod (stages). Names are canonical.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_lm.names import LAYER, SECOND_EMBEDDING
from megatron_bio.convert.megatron_lm.query_key_value import from_by_head, to_by_head
from megatron_bio.convert.megatron_lm.table import WORD_EMBEDDINGS
from megatron_bio.convert.sources import TensorSource
from megatron_bio.convert.torch_file.tensors import LazyTensor

Part = Mapping[str, LazyTensor]
Parts = Mapping[tuple[int, int], Part]
"""Tensors by name for each (tensor-parallel rank, chunk)."""
_ROWS = re.compile(
    r"word_embeddings\.weight$|word_embeddings_for_head\.weight$|query_key_value\.(weight|bias)$"
    r"|dense_h_to_4h\.(weight|bias)$|^lm_head\.bias$"
)
_COLUMNS = re.compile(r"(self_attention\.dense|mlp\.dense_4h_to_h)\.weight$")
_QUERY_KEY_VALUE = "self_attention.query_key_value."
_DRIFT = 1e-3
"""How far copies of a replicated tensor may be apart, as a part of its largest value: half precision lets them drift."""


@dataclass(frozen=True)
class Cut:
    """How a model is split over tensor-parallel ranks."""

    tensor_parallel: int
    heads: int
    """Of the whole model."""
    order: str
    """Of queries, keys and values within a rank: one of `query_key_value.ORDERS`."""

    def part(self, name: str, whole: Tensor, rank: int) -> Tensor:
        """Return what a rank holds of a tensor, in memory of its own."""
        size = self.tensor_parallel
        if _QUERY_KEY_VALUE in name:
            whole = whole.chunk(size)[rank]
            return from_by_head(whole, self.order, self.heads // size).clone()
        if _ROWS.search(name):
            return whole.chunk(size)[rank].clone()
        if _COLUMNS.search(name):
            return whole.chunk(size, dim=1)[rank].clone(memory_format=torch.contiguous_format)
        return whole

    def whole(self, name: str, parts: list[Tensor]) -> Tensor:
        """Return the tensor that the ranks hold parts of; a replicated one is that of the first rank."""
        if _QUERY_KEY_VALUE in name:
            parts = [to_by_head(part, self.order, self.heads // self.tensor_parallel) for part in parts]
        if _COLUMNS.search(name):
            return torch.cat(parts, dim=1)
        return torch.cat(parts) if _ROWS.search(name) else parts[0]


def is_split(name: str) -> bool:
    """Whether tensor-parallel ranks hold different parts of a tensor."""
    return bool(_ROWS.search(name) or _COLUMNS.search(name))


class JoinedRanks(TensorSource):
    """Whole tensors under canonical names, the layers numbered through all chunks; in memory are the parts of one."""

    def __init__(self, path: Path, parts: Parts, cut: Cut, owner: object = None) -> None:
        """`owner` is kept as long as this is: an archive, whose temporary files go with it.

        Raises `ConvertError` for ranks that do not belong together.
        """
        self._path, self._cut, self._owner = path, cut, owner
        self._pieces: dict[str, list[LazyTensor]] = {}
        self._second: list[LazyTensor] = []
        layers = 0
        for chunk in range(1 + max(chunk for _, chunk in parts)):
            ranks = [parts[rank, chunk] for rank in range(cut.tensor_parallel)]
            for rank in ranks[1:]:
                if rank.keys() != ranks[0].keys():
                    other = sorted(rank.keys() ^ ranks[0].keys())
                    raise ConvertError(
                        f"{path}: the tensor-parallel ranks of part {chunk} of the layers have different tensors: "
                        f"{', '.join(other[:4])}."
                    )
            layers += self._add_chunk(ranks, layers)

    def _add_chunk(self, ranks: list[Part], first_layer: int) -> int:
        """Take the tensors of a chunk and return how many layers it has."""
        layers = 0
        for name in ranks[0]:
            whole_name = name
            if match := LAYER.fullmatch(name):
                layers = max(layers, int(match[2]) + 1)
                whole_name = f"{match[1]}{first_layer + int(match[2])}{match[3]}"
            pieces = [rank[name] for rank in ranks]
            if whole_name == SECOND_EMBEDDING:
                self._second = pieces
            elif whole_name in self._pieces:
                raise ConvertError(f"{self._path}: two pipeline stages have {whole_name}.")
            else:
                self._pieces[whole_name] = pieces
        return layers

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes of the whole tensors."""
        return {
            name: self._joined(name, [piece.described() for piece in pieces])
            for name, pieces in self._pieces.items()
        }

    def read(self, name: str) -> Tensor:
        """Return one whole tensor; raises `ConvertError` for copies of it that differ."""
        parts = [piece.read() for piece in self._pieces[name]]
        tensor = self._joined(name, parts)
        if not is_split(name):
            for rank, copy in enumerate(parts[1:], 1):
                self._require_copy(tensor, copy, f"{name} of tensor-parallel rank 0 and of rank {rank}")
        if name == WORD_EMBEDDINGS and self._second:
            second = self._joined(name, [piece.read() for piece in self._second])
            self._require_copy(
                tensor, second, "the word embeddings of the first and of the last pipeline stage"
            )
        return tensor

    def _require_copy(self, tensor: Tensor, copy: Tensor, what: str) -> None:
        if torch.equal(tensor, copy):
            return
        if tensor.shape != copy.shape or not (tensor - copy).abs().max() <= _DRIFT * tensor.abs().max():
            raise ConvertError(
                f"{self._path}: {what} differ, but they are copies of each other in Megatron-LM. The files do not belong "
                f"together, or are damaged."
            )

    def _joined(self, name: str, pieces: list[Tensor]) -> Tensor:
        kinds = sorted({f"{list(piece.shape)} {piece.dtype}" for piece in pieces})
        dimensions = pieces[0].ndim
        if len(kinds) != 1 or dimensions not in (1, 2) or (dimensions == 1 and _COLUMNS.search(name)):
            raise ConvertError(
                f"{self._path}: {name}: expected parts of one shape and dtype, found {', '.join(kinds[:4])}. "
                f"The files are damaged or do not belong together."
            )
        heads = self._cut.heads // self._cut.tensor_parallel
        if _QUERY_KEY_VALUE in name and (heads == 0 or pieces[0].shape[0] % (3 * heads)):
            raise ConvertError(
                f"{self._path}: {name} has {pieces[0].shape[0]} rows on each rank for {heads} heads there."
            )
        return self._cut.whole(name, pieces)
