"""GPT-2: causal pre-LN decoder with learned positions and a tied head (Radford et al., 2019; BioMedLM, arXiv 2403.18421)."""

import torch
from torch import Tensor

from megatron_bio.config.stages import Stage
from megatron_bio.models.block import BlockSizes
from megatron_bio.models.heads import tied_logits
from megatron_bio.models.recompute import Recompute
from megatron_bio.models.transformer import Transformer, weighted_sums
from megatron_bio.parallel.cross_entropy import vocab_parallel_cross_entropy
from megatron_bio.parallel.layers import TensorParallel


class Gpt(Transformer):
    """Predicts the next token at every position."""

    causal = True
    metric_names = ("lm_loss", "lm_correct")
    num_losses = 1
    weight_fields = ("label_weights",)

    def __init__(
        self,
        sizes: BlockSizes,
        vocab_size: int,
        padded_vocab_size: int,
        max_positions: int,
        tensor_parallel: TensorParallel,
        stage: Stage,
        recompute: Recompute,
    ) -> None:
        super().__init__(
            sizes, vocab_size, padded_vocab_size, max_positions, 0, tensor_parallel, stage, recompute
        )

    def forward(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        dropout_keys: Tensor,
    ) -> Tensor:
        """Return the sums of `metric_names` over the rows, float32 [2]; fields as in `data.batch.GptBatch`."""
        hidden = self.encode(tokens, segment_ids, position_ids, None, dropout_keys)
        if not self.stage.last:
            return hidden
        logits = tied_logits(hidden.transpose(0, 1), self.embeddings.word_embeddings)
        losses, predicted = vocab_parallel_cross_entropy(
            logits,
            labels,
            self.tensor_parallel.mesh,
            self.vocab_size,
            in_place="cross_entropy" in self.tensor_parallel.computation.kernels,
        )
        return torch.stack(weighted_sums(losses, predicted == labels, label_weights))

    def logits(self, tokens: Tensor, segment_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Return the logits [R, S, V / tp] of every position."""
        keys = torch.zeros(tokens.shape[0], dtype=torch.int64, device=tokens.device)
        hidden = self.encode(tokens, segment_ids, position_ids, None, keys)
        return tied_logits(hidden.transpose(0, 1), self.embeddings.word_embeddings)
