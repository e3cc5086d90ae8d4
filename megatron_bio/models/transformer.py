"""The stack that BERT and GPT share: embeddings, blocks, final layer norm."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from megatron_bio.kernels.attention import attention_mask
from megatron_bio.models.block import BlockSizes, TransformerBlock
from megatron_bio.models.embeddings import Embeddings
from megatron_bio.parallel import collectives
from megatron_bio.parallel.layers import LayerNorm, TensorParallel


class Transformer(nn.Module):
    """Base of the models; holds everything below the heads.

    `vocab_size` counts real tokens; the tables have `padded_vocab_size` rows. Batches come as keyword tensors [R, ...], so that a
    pipeline schedule can cut them into microbatches.
    """

    causal = False
    # Names of the entries that `forward` returns: the first `num_losses` are sums of losses, the rest are counts.
    metric_names: tuple[str, ...]
    num_losses: int
    # The fields of a batch whose sums count the predictions behind each loss.
    weight_fields: tuple[str, ...]

    def __init__(
        self,
        sizes: BlockSizes,
        vocab_size: int,
        padded_vocab_size: int,
        max_positions: int,
        token_types: int,
        tensor_parallel: TensorParallel,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.tensor_parallel = tensor_parallel
        # For layers behind `_join`, which see the whole sequence on every rank.
        self.replicated = replace(tensor_parallel, sequence_parallel=False)
        self.embeddings = Embeddings(
            padded_vocab_size,
            max_positions,
            token_types,
            sizes.hidden_size,
            sizes.hidden_dropout,
            sizes.init_std,
            tensor_parallel,
        )
        self.layers = nn.ModuleList(
            TransformerBlock(sizes, layer + 1, tensor_parallel) for layer in range(sizes.num_layers)
        )
        self.final_layernorm = LayerNorm(sizes.hidden_size, tensor_parallel, sizes.epsilon)

    def encode(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,
        tokentype_ids: Tensor | None,
        dropout_keys: Tensor,
    ) -> Tensor:
        """Ids [R, S] -> normalised hidden states [S, R, H], the same on every tp rank."""
        mask = attention_mask(segment_ids, self.causal)
        x = self.embeddings(tokens, position_ids, tokentype_ids, dropout_keys)
        for layer in self.layers:
            x = layer(x, mask, dropout_keys)
        x = self.final_layernorm(x)
        if self.tensor_parallel.splits_sequence:
            x = collectives.join(x, self.tensor_parallel.mesh.get_group())
        return x


def weighted_sums(losses: Tensor, correct: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of losses and the weighted count of right predictions, all of one shape."""
    return (losses * weights).sum(), (correct * weights).sum().detach().to(torch.float32)
