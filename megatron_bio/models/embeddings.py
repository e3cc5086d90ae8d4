"""Sum of word, position and (BERT) token-type embeddings, with norm_order post a layer norm, then dropout."""

from torch import Tensor, nn

from megatron_bio.kernels.embedding_sum import embedding_sum
from megatron_bio.models.block import BlockSizes
from megatron_bio.models.dropout import HiddenDropout, Site
from megatron_bio.parallel.layers import (
    LayerNorm,
    ParallelLayer,
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
        # Over several ranks the sum of the word table's parts lies between the words and the rest.
        self.fuses_sum = (
            "embedding_sum" in tensor_parallel.computation.kernels and tensor_parallel.mesh.size() == 1
        )
        self.compute_dtype = tensor_parallel.compute_dtype
        self.layernorm = (
            LayerNorm(hidden_size, tensor_parallel, sizes.epsilon) if sizes.norm_order == "post" else None
        )
        self.dropout = HiddenDropout(sizes.hidden_dropout, 0, Site.EMBEDDINGS, tensor_parallel)

    def forward(
        self, tokens: Tensor, position_ids: Tensor, tokentype_ids: Tensor | None, dropout_keys: Tensor
    ) -> Tensor:
        """Ids int64 [R, S] -> [s, R, H]."""
        x = self._sum(tokens, position_ids, tokentype_ids)
        return self.dropout(x if self.layernorm is None else self.layernorm(x), dropout_keys)

    def _sum(self, tokens: Tensor, position_ids: Tensor, tokentype_ids: Tensor | None) -> Tensor:
        if self.fuses_sum:
            ids = [tokens, position_ids]
            layers: list[ParallelLayer] = [self.word_embeddings, self.position_embeddings]
            if tokentype_ids is not None:
                ids.append(tokentype_ids)
                layers.append(self.tokentype_embeddings)
            return embedding_sum(ids, [layer.weight.to_local() for layer in layers], self.compute_dtype)
        x = self.word_embeddings(tokens) + self.position_embeddings(position_ids)
        return x if tokentype_ids is None else x + self.tokentype_embeddings(tokentype_ids)


class OutputEmbeddings(nn.Module):
    """The word table alone, for the output layer of a pipeline's last stage."""

    def __init__(
        self, padded_vocab_size: int, hidden_size: int, init_std: float, tensor_parallel: TensorParallel
    ) -> None:
        super().__init__()
        self.word_embeddings = VocabParallelEmbedding(
            padded_vocab_size, hidden_size, tensor_parallel, normal(init_std)
        )
