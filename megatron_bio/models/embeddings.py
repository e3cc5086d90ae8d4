"""Sum of word, position and (BERT) token-type embeddings, with norm_order post a layer norm, then dropout."""

from torch import Tensor, nn

from megatron_bio.models.block import BlockSizes
from megatron_bio.models.dropout import HiddenDropout, Site
from megatron_bio.parallel.layers import (
    LayerNorm,
    SequenceEmbedding,
    TensorParallel,
    VocabParallelEmbedding,
)
from megatron_bio.parallel.parameters import constant, normal


class Embeddings(nn.Module):
    """Tables of the input; the word table is also the output layer of both models."""

    def __init__(
        self,
        sizes: BlockSizes,
        padded_vocab_size: int,
        max_positions: int,
        token_types: int,
        tensor_parallel: TensorParallel,
    ) -> None:
        super().__init__()
        hidden_size, draw = sizes.hidden_size, normal(sizes.init_std)
        self.word_embeddings = VocabParallelEmbedding(padded_vocab_size, hidden_size, tensor_parallel, draw)
        self.position_embeddings = SequenceEmbedding(max_positions, hidden_size, tensor_parallel, draw)
        if token_types:  # they start at zero, as in Megatron-LM
            self.tokentype_embeddings = SequenceEmbedding(
                token_types, hidden_size, tensor_parallel, constant(0.0)
            )
        self.layernorm = (
            LayerNorm(hidden_size, tensor_parallel, sizes.epsilon) if sizes.norm_order == "post" else None
        )
        self.dropout = HiddenDropout(sizes.hidden_dropout, 0, Site.EMBEDDINGS, tensor_parallel)

    def forward(
        self, tokens: Tensor, position_ids: Tensor, tokentype_ids: Tensor | None, dropout_keys: Tensor
    ) -> Tensor:
        """Ids int64 [R, S] -> [s, R, H]."""
        x = self.word_embeddings(tokens) + self.position_embeddings(position_ids)
        if tokentype_ids is not None:
            x = x + self.tokentype_embeddings(tokentype_ids)
        return self.dropout(x if self.layernorm is None else self.layernorm(x), dropout_keys)


class OutputEmbeddings(nn.Module):
    """The word table alone, for the output layer of a pipeline's last stage."""

    def __init__(
        self, padded_vocab_size: int, hidden_size: int, init_std: float, tensor_parallel: TensorParallel
    ) -> None:
        super().__init__()
        self.word_embeddings = VocabParallelEmbedding(
            padded_vocab_size, hidden_size, tensor_parallel, normal(init_std)
        )
