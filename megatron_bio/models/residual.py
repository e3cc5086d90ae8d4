"""The residual sum that ends attention and MLP, with the layer norm of it where one follows in the same block."""

from torch import Tensor

from megatron_bio.kernels.bias_dropout_add import bias_dropout_add
from megatron_bio.kernels.bias_dropout_add_norm import bias_dropout_add_norm
from megatron_bio.models.dropout import HiddenDropout, Site
from megatron_bio.parallel.layers import LayerNorm, RowParallelLinear, TensorParallel
from megatron_bio.parallel.parameters import local


class ResidualSum(HiddenDropout):
    """residual + dropout(product), [s, R, H], where `product` came from a linear layer.

    The kernels add that layer's bias, so it is told to leave it to them. It and the norm belong to the caller, who gives them.
    """

    def __init__(
        self,
        probability: float,
        layer: int,
        site: Site,
        tensor_parallel: TensorParallel,
        linear: RowParallelLinear,
        *,
        norm_follows: bool,
    ) -> None:
        super().__init__(probability, layer, site, tensor_parallel)
        self.fuses_norm = norm_follows and "bias_dropout_add_norm" in tensor_parallel.computation.kernels
        linear.leaves_bias = self.fuses_norm or "bias_dropout_add" in tensor_parallel.computation.kernels

    def add(
        self, residual: Tensor, product: Tensor, linear: RowParallelLinear, dropout_keys: Tensor
    ) -> Tensor:
        """Return the sum."""
        if not linear.leaves_bias:
            return residual + self(product, dropout_keys)
        bias, first = local(linear.bias, product.dtype), self.first_position(product)
        return bias_dropout_add(product, bias, residual, self.place(dropout_keys), first)

    def add_and_normalise(
        self,
        residual: Tensor,
        product: Tensor,
        linear: RowParallelLinear,
        norm: LayerNorm,
        dropout_keys: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the sum and its norm."""
        if not self.fuses_norm:
            total = self.add(residual, product, linear, dropout_keys)
            return total, norm(total)
        bias, weight, shift = (local(p, product.dtype) for p in (linear.bias, norm.weight, norm.bias))
        place, first = self.place(dropout_keys), self.first_position(product)
        return bias_dropout_add_norm(product, bias, residual, weight, shift, place, first, norm.epsilon)
