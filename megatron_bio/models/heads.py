"""Output layers: vocabulary logits tied to the word table, BERT's masked-LM transform, pooler and sentence-order head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megatron_bio.parallel import collectives
from megatron_bio.parallel.layers import LayerNorm, ParallelLayer, ReplicatedLinear, TensorParallel
from megatron_bio.parallel.parameters import constant, local, normal, parameter


def tied_logits(x: Tensor, word_embeddings: ParallelLayer) -> Tensor:
    """Multiply the same x [..., H] on every rank with this rank's rows of the word table: [..., V / tp]."""
    x = collectives.copy(x, word_embeddings.group)
    return F.linear(x, local(word_embeddings.weight, x.dtype))


class MaskedLMHead(ParallelLayer):
    """Dense, GELU (`activation` gelu: exact, gelu_tanh: approximate), layer norm, then the tied decoder with a bias of its own."""

    def __init__(
        self,
        hidden_size: int,
        padded_vocab_size: int,
        epsilon: float,
        init_std: float,
        activation: str,
        tensor_parallel: TensorParallel,
        replicated: TensorParallel,
    ) -> None:
        super().__init__(tensor_parallel)
        self.approximate = "tanh" if activation == "gelu_tanh" else "none"
        self.dense = ReplicatedLinear(hidden_size, hidden_size, tensor_parallel, normal(init_std))
        self.layernorm = LayerNorm(hidden_size, replicated, epsilon)
        self.bias = parameter((padded_vocab_size,), tensor_parallel.mesh, 0, constant(0.0))

    def forward(self, x: Tensor, word_embeddings: ParallelLayer) -> Tensor:
        """The same x [..., H] on every rank -> [..., V / tp]."""
        x = self.layernorm(F.gelu(self.dense(x), approximate=self.approximate))
        logits = tied_logits(x, word_embeddings)
        return logits + local(self.bias, logits.dtype)


class SentenceOrderHead(nn.Module):
    """Two classes from the pooled [CLS]; `pooler` and `classifier` are repeated on every rank."""

    def __init__(self, hidden_size: int, init_std: float, tensor_parallel: TensorParallel) -> None:
        super().__init__()
        self.pooler = ReplicatedLinear(hidden_size, hidden_size, tensor_parallel, normal(init_std))
        self.classifier = ReplicatedLinear(hidden_size, 2, tensor_parallel, normal(init_std))

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states at [CLS] [R, K, H] -> logits [R, K, 2]."""
        return self.classifier(torch.tanh(self.pooler(x)))
