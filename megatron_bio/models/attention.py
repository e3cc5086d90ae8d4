"""Multi-head self-attention with heads split over tp.

Shapes: s positions of this rank, S sequence, R rows, H hidden, n heads of this rank, D head dimension.
"""

from torch import Tensor, nn

from megatron_bio.kernels.attention import AttentionDropout, AttentionPattern, attention
from megatron_bio.kernels.dropout import DropoutPlace
from megatron_bio.models.dropout import Site
from megatron_bio.models.recompute import recomputed
from megatron_bio.parallel.layers import ColumnParallelLinear, RowParallelLinear, TensorParallel
from megatron_bio.parallel.parameters import Initializer


class SelfAttention(nn.Module):
    """Fused query-key-value projection, attention within segments, output projection.

    Rows of the fused weight are ordered [heads, 3, D], so that a split by rows gives every rank whole heads.
    `recompute_core` keeps query, key and value only, not what lies between them and the context.
    `scale_by_inverse_layer` divides the scores by `layer`, which counts from 1, besides sqrt(D): the option
    scale_attn_by_inverse_layer_idx of transformers' GPT-2, which the published BioMedLM has.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        dropout: float,
        layer: int,
        tensor_parallel: TensorParallel,
        initializer: Initializer,
        output_initializer: Initializer,
        scale_by_inverse_layer: bool,
        recompute_core: bool,
    ) -> None:
        super().__init__()
        self.recompute_core, self.scale_by_inverse_layer = recompute_core, scale_by_inverse_layer
        mesh = tensor_parallel.mesh
        assert num_heads % mesh.size() == 0, f"{num_heads} heads cannot be split over {mesh.size()} ranks"
        self.local_heads, self.head_size = num_heads // mesh.size(), hidden_size // num_heads
        self.first_head = mesh.get_local_rank() * self.local_heads
        self.dropout, self.layer = dropout, layer
        self.fuses_softmax = "softmax_dropout" in tensor_parallel.computation.kernels
        self.query_key_value = ColumnParallelLinear(
            hidden_size, 3 * hidden_size, tensor_parallel, initializer
        )
        self.dense = RowParallelLinear(hidden_size, hidden_size, tensor_parallel, output_initializer)

    def forward(self, x: Tensor, pattern: AttentionPattern, dropout_keys: Tensor) -> Tensor:
        """x [s, R, H], dropout_keys int64 [R] -> [s, R, H]."""
        query, key, value = self.project(x)
        return self.combine(self.attend(query, key, value, pattern, dropout_keys))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [s, R, H] -> query, key and value [R, n, S, D]."""
        fused = self.query_key_value(x)
        length, rows = fused.shape[:2]
        fused = fused.view(length, rows, self.local_heads, 3, self.head_size)
        query, key, value = fused.permute(3, 1, 2, 0, 4)
        if self.scale_by_inverse_layer:
            # The query and not the kernel's scale, a constant that would need a compiled graph per layer. Before the product,
            # so that fp16 overflows later.
            query = query / self.layer
        return query, key, value

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, pattern: AttentionPattern, dropout_keys: Tensor
    ) -> Tensor:
        """Query [R, n, Q, D], key and value [R, n, S, D] -> context [R, n, Q, D]."""
        core = (query, key, value, pattern, self._dropout(dropout_keys))
        return recomputed(attention, *core) if self.recompute_core else attention(*core)

    def combine(self, context: Tensor) -> Tensor:
        """Context of the heads [R, n, S, D] -> [s, R, H]; `dense` may leave its bias to what follows."""
        rows, _, length, _ = context.shape
        return self.dense(context.permute(2, 0, 1, 3).reshape(length, rows, -1))

    def _dropout(self, keys: Tensor) -> AttentionDropout | None:
        if not self.training or self.dropout == 0.0:
            return None
        place = DropoutPlace(self.dropout, keys, self.layer, Site.ATTENTION_PROBABILITIES)
        return AttentionDropout(place, self.first_head, self.fuses_softmax)
