"""A BERT of Megatron's without binary head has no token types, ours has: adding zeros changes nothing."""

from collections.abc import Mapping

import torch
from torch import Tensor

from megatron_bio.convert.sources import TensorSource


class WithZeroTokenTypes(TensorSource):
    """The tensors of `source` and a table of zeros [2, H] under `name`, in the dtype of `words`, the word embeddings."""

    def __init__(self, source: TensorSource, name: str, words: str) -> None:
        self._source, self._name = source, name
        table = source.described()[words]
        self._shape, self._dtype = (2, table.shape[1]), table.dtype

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes."""
        table = torch.empty(self._shape, dtype=self._dtype, device="meta")
        return {**self._source.described(), self._name: table}

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        return torch.zeros(self._shape, dtype=self._dtype) if name == self._name else self._source.read(name)
