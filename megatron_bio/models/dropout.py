"""Where a model drops, by number: part of the key of every dropout, so a number once given stays."""

from enum import IntEnum

from torch import Tensor, nn

from megatron_bio.kernels.dropout import DropoutPlace, hidden_dropout
from megatron_bio.parallel.layers import TensorParallel


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
        first = self.first_position(x)
        return hidden_dropout(
            x, self.probability, dropout_keys, layer=self.layer, site=self.site, first_position=first
        )

    def place(self, dropout_keys: Tensor) -> DropoutPlace:
        """Return where in the run this drops and how often, which is never unless training."""
        probability = self.probability if self.training else 0.0
        return DropoutPlace(probability, dropout_keys, self.layer, self.site)

    def first_position(self, x: Tensor) -> int:
        """Return the position in the sequence of x[0]."""
        return self.parts_before * x.shape[0]
