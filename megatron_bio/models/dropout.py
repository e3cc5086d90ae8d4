"""Where a model drops, by number: part of the key of every dropout, so a number once given stays."""

from enum import IntEnum

from torch import Tensor, nn

from megatron_bio.kernels.bias_dropout_add import bias_dropout_add
from megatron_bio.kernels.dropout import DropoutPlace, hidden_dropout
from megatron_bio.parallel.layers import RowParallelLinear, TensorParallel
from megatron_bio.parallel.parameters import local


class Site(IntEnum):
    """Places in a layer; the embeddings are layer 0, blocks count from 1."""

    EMBEDDINGS = 0
    ATTENTION_PROBABILITIES = 1
    ATTENTION_OUTPUT = 2
    MLP_OUTPUT = 3


class HiddenDropout(nn.Module):
    """Dropout on [s, R, H] that gives each position of the sequence the same mask at every layout."""

    def __init__(self, probability: float, layer: int, site: Site, tensor_parallel: TensorParallel) -> None:
        super().__init__()
        self.probability, self.layer, self.site = probability, layer, site
        # The part of the sequence before this rank's, in units of the length that it holds.
        self.parts_before = tensor_parallel.mesh.get_local_rank() if tensor_parallel.splits_sequence else 0

    def forward(self, x: Tensor, dropout_keys: Tensor) -> Tensor:
        """Drop while training."""
        if not self.training:
            return x
        first = self.parts_before * x.shape[0]
        return hidden_dropout(
            x, self.probability, dropout_keys, layer=self.layer, site=self.site, first_position=first
        )

    def add(
        self, residual: Tensor, product: Tensor, linear: RowParallelLinear, dropout_keys: Tensor
    ) -> Tensor:
        """Return residual + dropout(product), where `product` came from `linear`, which may have left its bias to this."""
        if not linear.leaves_bias:
            return residual + self(product, dropout_keys)
        probability = self.probability if self.training else 0.0
        place = DropoutPlace(probability, dropout_keys, self.layer, self.site)
        first = self.parts_before * product.shape[0]
        return bias_dropout_add(product, local(linear.bias, product.dtype), residual, place, first)
