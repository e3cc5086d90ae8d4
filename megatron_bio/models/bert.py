"""BERT with a masked-LM and, if it is to have one, a sentence-order head.

Sources: Devlin et al., 2019 (norm_order post); Megatron-LM, arXiv 1909.08053, and BioMegatron, EMNLP 2020 (norm_order pre).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.config.stages import Stage
from megatron_bio.kernels.rows_at import reference as rows_at_reference
from megatron_bio.kernels.rows_at import rows_at
from megatron_bio.models.block import BlockSizes
from megatron_bio.models.heads import MaskedLMHead, SentenceOrderHead
from megatron_bio.models.recompute import Recompute
from megatron_bio.models.transformer import Transformer, weighted_sums
from megatron_bio.parallel.cross_entropy import vocab_parallel_cross_entropy
from megatron_bio.parallel.layers import TensorParallel


class Bert(Transformer):
    """The masked-LM head runs on the masked positions only.

    Without `order_head` the two metrics of the order are 0, and no sample may have a weight for it, so that nobody shows them.
    """

    metric_names = ("masked_lm_loss", "order_loss", "masked_lm_correct", "order_correct")
    num_losses = 2
    weight_fields = ("masked_weights", "order_weights")

    def __init__(
        self,
        sizes: BlockSizes,
        vocab_size: int,
        padded_vocab_size: int,
        max_positions: int,
        tensor_parallel: TensorParallel,
        stage: Stage,
        recompute: Recompute,
        *,
        head_activation: str,
        order_head: bool,
    ) -> None:
        super().__init__(
            sizes, vocab_size, padded_vocab_size, max_positions, 2, tensor_parallel, stage, recompute
        )
        if not stage.last:
            return
        self.rows_at = rows_at if "rows_at" in tensor_parallel.computation.kernels else rows_at_reference
        self.masked_lm_head = MaskedLMHead(
            sizes.hidden_size,
            padded_vocab_size,
            sizes.epsilon,
            sizes.init_std,
            head_activation,
            tensor_parallel,
            self.replicated,
        )
        self.order_head = (
            SentenceOrderHead(sizes.hidden_size, sizes.init_std, tensor_parallel) if order_head else None
        )

    def forward(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,
        tokentype_ids: Tensor,
        masked_positions: Tensor,
        masked_labels: Tensor,
        masked_weights: Tensor,
        cls_positions: Tensor,
        order_labels: Tensor,
        order_weights: Tensor,
        dropout_keys: Tensor,
    ) -> Tensor:
        """Return the sums of `metric_names` over the rows, float32 [4]; fields as in `data.batch.BertBatch`."""
        hidden = self.encode(tokens, segment_ids, position_ids, tokentype_ids, dropout_keys)
        if not self.stage.last:
            return hidden
        logits = self.masked_lm_head(self.rows_at(hidden, masked_positions), self.embeddings.word_embeddings)
        losses, predicted = vocab_parallel_cross_entropy(
            logits,
            masked_labels,
            self.tensor_parallel.mesh,
            self.vocab_size,
            in_place="cross_entropy" in self.tensor_parallel.computation.kernels,
        )
        masked = weighted_sums(losses, predicted == masked_labels, masked_weights)
        if self.order_head is None:
            zero = torch.zeros_like(masked[1])
            return torch.stack((masked[0], zero, masked[1], zero))
        order_logits = self.order_head(self.rows_at(hidden, cls_positions)).float()
        losses = F.cross_entropy(order_logits.flatten(0, 1), order_labels.flatten(), reduction="none")
        right = order_logits.argmax(-1) == order_labels
        order = weighted_sums(losses.view_as(order_weights), right, order_weights)
        return torch.stack((masked[0], order[0], masked[1], order[1]))

    def logits(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,
        tokentype_ids: Tensor,
        cls_positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return masked-LM logits [R, S, V / tp] of all positions and sentence-order logits [R, K, 2] of `cls_positions`.

        Without `cls_positions` int64 [R, K] each row is one sample: K = 1, position 0. Without an order head its logits are
        empty, [R, K, 0].
        """
        keys = torch.zeros(tokens.shape[0], dtype=torch.int64, device=tokens.device)
        if cls_positions is None:
            cls_positions = torch.zeros_like(keys)[:, None]
        hidden = self.encode(tokens, segment_ids, position_ids, tokentype_ids, keys)
        logits = self.masked_lm_head(hidden.transpose(0, 1), self.embeddings.word_embeddings)
        if self.order_head is None:
            return logits, logits.new_empty(*cls_positions.shape, 0)
        return logits, self.order_head(self.rows_at(hidden, cls_positions))
