"""The stack that BERT and GPT share: embeddings, blocks, with norm_order pre a last norm; whole or one stage of a pipeline."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from megatron_bio.config.stages import Stage
from megatron_bio.kernels.attention import attention_pattern
from megatron_bio.models.block import BlockSizes, TransformerBlock
from megatron_bio.models.embeddings import Embeddings, OutputEmbeddings
from megatron_bio.models.recompute import Recompute
from megatron_bio.parallel import collectives
from megatron_bio.parallel.layers import LayerNorm, TensorParallel
from megatron_bio.parallel.pipeline import received


class Transformer(nn.Module):
    """Base of the models; holds everything below the heads.

    `vocab_size` counts real tokens; the tables have `padded_vocab_size` rows. Batches come as keyword tensors [R, ...], so that a
    pipeline schedule can cut them into microbatches.

    As a `stage` of a pipeline it holds some of the layers, under the names that they have in the whole model. The first stage
    has the embeddings; the last has the heads and, for the tied output layer, a copy of the word table under the table's own
    name. Instead of `tokens` a later stage takes, and an earlier one returns, hidden states [s, R, H].
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
        stage: Stage,
        recompute: Recompute,
    ) -> None:
        super().__init__()
        self.stage = stage
        self.vocab_size, self.hidden_size = vocab_size, sizes.hidden_size
        self.tensor_parallel = tensor_parallel
        # For layers behind `_join`, which see the whole sequence on every rank.
        self.replicated = replace(tensor_parallel, sequence_parallel=False)
        if stage.first:
            self.embeddings = Embeddings(
                sizes, padded_vocab_size, max_positions, token_types, tensor_parallel
            )
        elif stage.last:
            self.embeddings = OutputEmbeddings(
                padded_vocab_size, sizes.hidden_size, sizes.init_std, tensor_parallel
            )
        self.layers = nn.ModuleDict(
            {
                str(layer): TransformerBlock(sizes, layer + 1, tensor_parallel, recompute.of_layer(layer))
                for layer in stage.layers
            }
        )
        # With norm_order post the last block ends with one.
        self.final_layernorm = (
            LayerNorm(sizes.hidden_size, tensor_parallel, sizes.epsilon)
            if stage.last and sizes.norm_order == "pre"
            else None
        )

    @property
    def tied_copy(self) -> nn.Parameter | None:
        """The last stage's copy of the word table, if it is not the first stage too."""
        return self.embeddings.word_embeddings.weight if self.stage.last and not self.stage.first else None

    def encode(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,
        tokentype_ids: Tensor | None,
        dropout_keys: Tensor,
    ) -> Tensor:
        """Ids [R, S] -> normalised hidden states [S, R, H], the same on every tp rank; see the class for a stage's ends."""
        pattern = attention_pattern(
            segment_ids, self.causal, self.tensor_parallel.computation.sequences_per_row
        )
        fields = (position_ids, tokentype_ids, dropout_keys)
        x = self.embeddings(tokens, *fields) if self.stage.first else received(tokens)
        for layer in self.layers.values():
            x = layer(x, pattern, dropout_keys)
        if not self.stage.last:
            return x
        if self.final_layernorm is not None:
            x = self.final_layernorm(x)
        if self.tensor_parallel.splits_sequence:
            x = collectives.join(x, self.tensor_parallel.mesh.get_group())
        return x


def weighted_sums(losses: Tensor, correct: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of losses and the weighted count of right predictions, all of one shape."""
    return (losses * weights).sum(), (correct * weights).sum().detach().to(torch.float32)
