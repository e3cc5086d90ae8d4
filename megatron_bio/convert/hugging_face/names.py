"""Tensors of a folder under today's names of transformers, whatever version saved them.

gamma, beta                        names of the first BERT files for a layer norm's weight and bias
embeddings…, wte…                  a model saved without its heads has no prefix
decoder.weight, lm_head.weight     a second time what they are tied to; accepted if it is equal
position_ids, attn.bias            constants that old versions saved; left out
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.sources import TensorSource

_OLD = ((re.compile(r"\.gamma$"), ".weight"), (re.compile(r"\.beta$"), ".bias"))
_CONSTANTS = re.compile(r"(^|\.)position_ids$|(^|\.)h\.\d+\.attn\.(bias|masked_bias)$")
_WITHOUT_PREFIX = {
    "bert": re.compile(r"(embeddings|encoder|pooler)\."),
    "transformer": re.compile(r"(wte|wpe|h|ln_f)\."),
}
_TIED = {
    "bert": {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    "transformer": {"lm_head.weight": "transformer.wte.weight"},
}
_VOCABULARY = ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias", "transformer.wte.weight")


class NamedTensors(TensorSource):
    """The tensors under today's names; tied ones once, compared with their second copy when they are read."""

    def __init__(self, stored: TensorSource, prefix: str, where: str) -> None:
        """`prefix` is `bert` or `transformer`; `where` is what messages call the checkpoint."""
        self._stored, self._where = stored, where
        self._stored_name: dict[str, str] = {}
        for name in stored.described():
            if _CONSTANTS.search(name):
                continue
            today = _today(name, prefix)
            if today in self._stored_name:
                raise ConvertError(
                    f"{where}: {name} and {self._stored_name[today]} are the same tensor; remove one."
                )
            self._stored_name[today] = name
        self._second: dict[str, str] = {}
        for copy, name in _TIED[prefix].items():
            if copy in self._stored_name:
                stored_copy = self._stored_name.pop(copy)
                if name in self._stored_name:
                    self._second[name] = stored_copy
                else:
                    self._stored_name[name] = stored_copy

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes, in the order of the files."""
        stored = self._stored.described()
        return {name: stored[old] for name, old in self._stored_name.items()}

    def read(self, name: str) -> Tensor:
        """Return one tensor; raises `ConvertError` if it is tied and its second copy has other values."""
        tensor = self._stored.read(self._stored_name[name])
        if name in self._second and not torch.equal(tensor, self._stored.read(self._second[name])):
            raise ConvertError(
                f"{self._where}: {self._second[name]} differs from {self._stored_name[name]}, to which it is tied in our "
                f"model. A model with an output layer of its own cannot be converted."
            )
        return tensor


class WithoutRows(TensorSource):
    """The tensors without the rows of the vocabulary that no token has."""

    def __init__(self, source: TensorSource, tokens: int) -> None:
        self._source, self._tokens = source, tokens

    def described(self) -> Mapping[str, Tensor]:
        """Shapes with `tokens` rows."""
        return {name: self._cut(name, value) for name, value in self._source.described().items()}

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        return self._cut(name, self._source.read(name))

    def _cut(self, name: str, value: Tensor) -> Tensor:
        return value[: self._tokens] if name in _VOCABULARY else value


def _today(name: str, prefix: str) -> str:
    for pattern, new in _OLD:
        name = pattern.sub(new, name)
    return f"{prefix}.{name}" if _WITHOUT_PREFIX[prefix].match(name) else name
