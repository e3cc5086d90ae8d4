"""Layer norm over the last dim, with statistics in float32.

Source: Ba et al., arXiv 1607.06450. x [..., H], weight and bias [H].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.kernels.columns import partial_sums, row_blocks
from megatron_bio.kernels.fallback import announce
from megatron_bio.kernels.library import LONGEST_ROW, Library, cuda_library, require_alike


def reference(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise x: the definition."""
    return F.layer_norm(x, (x.shape[-1],), weight, bias, epsilon)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Do the same, on CUDA by the kernel; rows of more than `LONGEST_ROW` elements go to the reference, which is told once."""
    if x.shape[-1] > LONGEST_ROW:
        announce("layer_norm", f"rows of {x.shape[-1]} elements; it takes up to {LONGEST_ROW}")
        return reference(x, weight, bias, epsilon)
    return _forward(x, weight, bias, epsilon)[0]


def launch_forward(
    library: Library, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y like x, and mean and inverse deviation of each row, float32."""
    require_alike(x, weight, bias)
    assert weight.shape == bias.shape == x.shape[-1:], f"{weight.shape} and {bias.shape} for {x.shape}"
    x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
    rows, columns = x.shape[:-1].numel(), x.shape[-1]
    y = torch.empty_like(x)
    mean, inverse = (torch.empty(x.shape[:-1], dtype=torch.float32, device=x.device) for _ in range(2))
    if rows:
        library.launch(
            "layer_norm_forward", x, weight, bias, y, mean, inverse, float(epsilon), rows, columns, x.dtype
        )
    return y, mean, inverse


def launch_backward(
    library: Library, gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias."""
    require_alike(x, gradient, weight)
    gradient, x, weight = gradient.contiguous(), x.contiguous(), weight.contiguous()
    rows, columns = x.shape[:-1].numel(), x.shape[-1]
    blocks = row_blocks(rows)
    of_x, of_weight, of_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    partial = [partial_sums(blocks, columns, x) for _ in range(2)]
    outputs = (of_x, of_weight, of_bias, *partial)
    library.launch(
        "layer_norm_backward", gradient, x, weight, mean, inverse, *outputs, rows, columns, blocks, x.dtype
    )
    return of_x, of_weight, of_bias


@torch.library.custom_op("megatron_bio::layer_norm", mutates_args=(), device_types="cpu")
def _forward(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = wide.mean(-1)
    inverse = (wide.var(-1, correction=0) + epsilon).rsqrt()
    return reference(x.contiguous(), weight, bias, epsilon), mean, inverse


@_forward.register_kernel("cuda")
def _(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    return launch_forward(cuda_library(), x, weight, bias, epsilon)


@_forward.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    statistics = torch.promote_types(x.dtype, torch.float32)
    mean, inverse = (x.new_empty(x.shape[:-1], dtype=statistics) for _ in range(2))
    return x.new_empty(x.shape), mean, inverse


@torch.library.custom_op("megatron_bio::layer_norm_backward", mutates_args=(), device_types="cpu")
def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    wide, incoming = x.to(mean.dtype), gradient.to(mean.dtype)
    normal = (wide - mean[..., None]) * inverse[..., None]
    scaled = incoming * weight
    along_one, along_normal = scaled.mean(-1, keepdim=True), (scaled * normal).mean(-1, keepdim=True)
    of_x = (scaled - along_one - normal * along_normal) * inverse[..., None]
    of_weight = (incoming * normal).flatten(0, -2).sum(0)
    return of_x.to(x.dtype).contiguous(), of_weight.to(x.dtype), incoming.flatten(0, -2).sum(0).to(x.dtype)


@_backward.register_kernel("cuda")
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return launch_backward(cuda_library(), gradient, x, weight, mean, inverse)


@_backward.register_fake
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(weight.shape)


def _keep(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]
) -> None:
    x, weight, _, _ = inputs
    _, mean, inverse = output
    ctx.save_for_backward(x, weight, mean, inverse)
    ctx.mark_non_differentiable(mean, inverse)
    ctx.set_materialize_grads(False)


def _gradients(
    ctx: torch.autograd.function.FunctionCtx, gradient: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    if gradient is None:  # nothing depends on the result
        return (None,) * 4
    return *_backward(gradient, *ctx.saved_tensors), None


_forward.register_autograd(_gradients, setup_context=_keep)
