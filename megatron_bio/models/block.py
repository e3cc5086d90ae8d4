"""One transformer block: attention, then MLP, each with a layer norm and beside a residual connection.

norm_order pre: x + attention(norm(x)), x + MLP(norm(x)). Source: Megatron-LM, arXiv 1909.08053, figure 7 (b), the order that lets
BERT grow beyond 336m parameters.
norm_order post: norm(x + attention(x)), norm(x + MLP(x)). Source: BERT, Devlin et al., 2019.
"""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from megatron_bio.kernels.attention import AttentionPattern
from megatron_bio.kernels.bias_gelu import bias_gelu
from megatron_bio.models.attention import SelfAttention
from megatron_bio.models.dropout import Site
from megatron_bio.models.recompute import recomputed
from megatron_bio.models.residual import ResidualSum
from megatron_bio.parallel.layers import ColumnParallelLinear, LayerNorm, RowParallelLinear, TensorParallel
from megatron_bio.parallel.parameters import Initializer, local, normal


@dataclass(frozen=True, kw_only=True)
class BlockSizes:
    """The numbers that all blocks of a model share."""

    hidden_size: int
    num_heads: int
    ffn_size: int
    num_layers: int
    activation: str
    """gelu or gelu_tanh, inside the MLP."""
    hidden_dropout: float
    attention_dropout: float
    epsilon: float
    init_std: float
    norm_order: str
    """pre or post."""
    scale_by_inverse_layer: bool

    @property
    def initializer(self) -> Initializer:
        """Weights that enter a block."""
        return normal(self.init_std)

    @property
    def output_initializer(self) -> Initializer:
        """Weights whose product is added to the residual stream.

        std / sqrt(2 layers), so that the sum over layers does not grow with their number; a norm behind each sum sees to that too.
        """
        return normal(self.init_std / (math.sqrt(2 * self.num_layers) if self.norm_order == "pre" else 1.0))


class MLP(nn.Module):
    """H -> F -> H with the inner width split over tp; `recompute_activation` keeps the activation's input only."""

    def __init__(
        self, sizes: BlockSizes, tensor_parallel: TensorParallel, recompute_activation: bool
    ) -> None:
        super().__init__()
        self.recompute_activation = recompute_activation
        hidden, inner = sizes.hidden_size, sizes.ffn_size
        self.dense_h_to_4h = ColumnParallelLinear(hidden, inner, tensor_parallel, sizes.initializer)
        self.dense_4h_to_h = RowParallelLinear(inner, hidden, tensor_parallel, sizes.output_initializer)
        self.approximate = sizes.activation == "gelu_tanh"
        self.adds_bias = "bias_gelu" in tensor_parallel.computation.kernels

    def forward(self, x: Tensor) -> Tensor:
        """[s, R, H] -> [s, R, H]; `dense_4h_to_h` may leave its bias to what follows."""
        first = self.dense_h_to_4h
        inner = (first.product(x), local(first.bias, first.compute_dtype)) if self.adds_bias else (first(x),)
        # The recomputation stops at what the second matrix keeps, its input, and does not multiply again.
        return recomputed(self._leave, *inner) if self.recompute_activation else self._leave(*inner)

    def _leave(self, inner: Tensor, bias: Tensor | None = None) -> Tensor:
        if bias is not None:
            return self.dense_4h_to_h(bias_gelu(inner, bias, self.approximate))
        return self.dense_4h_to_h(F.gelu(inner, approximate="tanh" if self.approximate else "none"))


class TransformerBlock(nn.Module):
    """Attention and MLP with their norms; `recompute` as in `models.recompute`."""

    def __init__(
        self, sizes: BlockSizes, layer: int, tensor_parallel: TensorParallel, recompute: str = "none"
    ) -> None:
        super().__init__()
        self.recompute, self.norm_order = recompute, sizes.norm_order

        def norm() -> LayerNorm:
            return LayerNorm(sizes.hidden_size, tensor_parallel, sizes.epsilon)

        if self.norm_order == "pre":
            self.input_layernorm = norm()
        self.self_attention = SelfAttention(
            sizes.hidden_size,
            sizes.num_heads,
            sizes.attention_dropout,
            layer,
            tensor_parallel,
            sizes.initializer,
            sizes.output_initializer,
            sizes.scale_by_inverse_layer,
            recompute == "selective",
        )
        self.attention_dropout = ResidualSum(
            sizes.hidden_dropout,
            layer,
            Site.ATTENTION_OUTPUT,
            tensor_parallel,
            self.self_attention.dense,
            norm_follows=True,
        )
        if self.norm_order == "pre":
            self.post_attention_layernorm = norm()
        else:
            self.attention_layernorm = norm()
        self.mlp = MLP(sizes, tensor_parallel, recompute == "selective")
        self.mlp_dropout = ResidualSum(
            sizes.hidden_dropout,
            layer,
            Site.MLP_OUTPUT,
            tensor_parallel,
            self.mlp.dense_4h_to_h,
            norm_follows=self.norm_order == "post",
        )
        if self.norm_order == "post":
            self.mlp_layernorm = norm()

    def forward(self, x: Tensor, pattern: AttentionPattern, dropout_keys: Tensor) -> Tensor:
        """x [s, R, H], dropout_keys int64 [R] -> [s, R, H]."""
        # Inside the module, so that data parallelism has gathered its weights before both forwards.
        if self.recompute == "full":
            return recomputed(self._compute, x, pattern, dropout_keys)
        return self._compute(x, pattern, dropout_keys)

    def _compute(self, x: Tensor, pattern: AttentionPattern, dropout_keys: Tensor) -> Tensor:
        pre = self.norm_order == "pre"
        attended = self.self_attention(self.input_layernorm(x) if pre else x, pattern, dropout_keys)
        x, normalised = self.add_attention(x, attended, dropout_keys)
        return self.add_mlp(x if pre else normalised, self.mlp(normalised), dropout_keys)

    def add_attention(self, x: Tensor, attended: Tensor, dropout_keys: Tensor) -> tuple[Tensor, Tensor]:
        """Residual stream [s, R, H] and what `self_attention` returned -> their sum, and its norm, which `mlp` takes."""
        norm = self.post_attention_layernorm if self.norm_order == "pre" else self.attention_layernorm
        return self.attention_dropout.add_and_normalise(
            x, attended, self.self_attention.dense, norm, dropout_keys
        )

    def add_mlp(self, x: Tensor, transformed: Tensor, dropout_keys: Tensor) -> Tensor:
        """Residual stream [s, R, H] and what `mlp` returned -> the residual stream behind the block."""
        parts = (x, transformed, self.mlp.dense_4h_to_h)
        if self.norm_order == "pre":
            return self.mlp_dropout.add(*parts, dropout_keys)
        return self.mlp_dropout.add_and_normalise(*parts, self.mlp_layernorm, dropout_keys)[1]
