"""Tensors of all tensor- and pipeline-parallel ranks as whole tensors, the layers numbered through all stages."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.nemo.parts import Part, Parts
from megatron_bio.convert.sources import TensorSource
from megatron_bio.convert.torch_file.tensors import LazyTensor

_LAYER = re.compile(r"(language_model\.encoder\.layers\.)(\d{1,5})(\..*)")
EMBEDDING = "language_model.embedding.word_embeddings.weight"
_SECOND_EMBEDDING = "word_embeddings.weight"
"""The last of several stages has a copy of the table for the logits."""
_VOCABULARY = (EMBEDDING, "lm_head.bias")
_ROWS = re.compile(
    r"word_embeddings\.weight$|query_key_value\.(weight|bias)$|dense_h_to_4h\.(weight|bias)$|^lm_head\.bias$"
)
_COLUMNS = re.compile(r"(self_attention\.dense|mlp\.dense_4h_to_h)\.weight$")
_QUERY_KEY_VALUE = "self_attention.query_key_value."


class JoinedParts(TensorSource):
    """Whole tensors under Megatron-LM's names; in memory are the parts of one."""

    def __init__(
        self, path: Path, parts: Parts, tokens: int, legacy_heads: int | None, owner: object
    ) -> None:
        """Rows of the vocabulary beyond `tokens` are left out.

        `legacy_heads` is the number of attention heads if queries, keys and values are ordered [3, heads, D] in each part,
        None for [heads, 3, D]. `owner` is kept as long as this is: the archive, whose temporary files go with it.
        """
        self._path, self._owner = path, owner
        self._tokens, self._legacy_heads = tokens, legacy_heads
        self.tensor_parallel = 1 + max(tensor for tensor, _ in parts)
        self.pipeline_parallel = 1 + max(stage for _, stage in parts)
        self._pieces: dict[str, list[LazyTensor]] = {}
        self._second: list[LazyTensor] = []
        layers = 0
        for stage in range(self.pipeline_parallel):
            ranks = [parts[tensor, stage] for tensor in range(self.tensor_parallel)]
            for rank in ranks[1:]:
                if rank.keys() != ranks[0].keys():
                    other = sorted(rank.keys() ^ ranks[0].keys())
                    raise ConvertError(
                        f"{path}: the tensor-parallel ranks of stage {stage} have different tensors: {', '.join(other[:4])}."
                    )
            layers += self._add_stage(ranks, layers)

    def _add_stage(self, ranks: list[Part], first_layer: int) -> int:
        """Take the tensors of a stage and return how many layers it has."""
        layers = 0
        for name in ranks[0]:
            pieces = [rank[name] for rank in ranks]
            whole_name = name
            if match := _LAYER.fullmatch(name):
                layers = max(layers, int(match[2]) + 1)
                whole_name = f"{match[1]}{first_layer + int(match[2])}{match[3]}"
            if whole_name == _SECOND_EMBEDDING:
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
        """Return one whole tensor; raises `ConvertError` for a tied one whose second copy has other values."""
        tensor = self._joined(name, [piece.read() for piece in self._read_pieces(name)])
        if name == EMBEDDING and self._second:
            second = self._joined(name, [piece.read() for piece in self._second])
            if not torch.equal(tensor, second):
                raise ConvertError(
                    f"{self._path}: the word embeddings of the first and of the last pipeline stage differ, but the model ties "
                    f"them. The archive is damaged."
                )
        return tensor

    def _read_pieces(self, name: str) -> list[LazyTensor]:
        pieces = self._pieces[name]
        return pieces if _ROWS.search(name) or _COLUMNS.search(name) else pieces[:1]

    def _joined(self, name: str, pieces: list[Tensor]) -> Tensor:
        kinds = sorted({f"{list(piece.shape)} {piece.dtype}" for piece in pieces})
        if len(kinds) != 1 or pieces[0].ndim not in (1, 2):
            raise ConvertError(
                f"{self._path}: {name}: expected parts of one shape and dtype, found {', '.join(kinds[:4])}. "
                f"The archive is damaged."
            )
        if _QUERY_KEY_VALUE in name and self._legacy_heads:
            pieces = [self._by_head(name, piece) for piece in pieces]
        if _COLUMNS.search(name):
            return torch.cat(pieces, dim=1) if pieces[0].ndim == 2 else pieces[0]
        if not _ROWS.search(name):
            return pieces[0]
        whole = torch.cat(pieces)
        return whole[: self._tokens] if name in _VOCABULARY else whole

    def _by_head(self, name: str, piece: Tensor) -> Tensor:
        """[3 n D, ...] -> [n 3 D, ...], n heads in each part."""
        assert self._legacy_heads is not None
        heads = self._legacy_heads // self.tensor_parallel
        if heads == 0 or piece.shape[0] % (3 * heads):
            raise ConvertError(
                f"{self._path}: {name} has {piece.shape[0]} rows for {heads} heads in each part."
            )
        return piece.view(3, heads, -1, *piece.shape[1:]).transpose(0, 1).reshape(piece.shape)
