"""gelu(x + bias): exact (erf), or approximate (tanh) as in GPT-2.

Source: Hendrycks and Gimpel, arXiv 1606.08415. x [..., F], bias [F].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.kernels.columns import partial_sums, strips
from megatron_bio.kernels.library import Library, cuda_library, require_alike


def reference(x: Tensor, bias: Tensor, approximate: bool) -> Tensor:
    """Add the bias and activate: the definition."""
    return F.gelu(x + bias, approximate="tanh" if approximate else "none")


def bias_gelu(x: Tensor, bias: Tensor, approximate: bool) -> Tensor:
    """Do the same, on CUDA by the kernel, which takes every shape."""
    return _forward(x, bias, approximate)


def launch_forward(library: Library, x: Tensor, bias: Tensor, approximate: bool) -> Tensor:
    """Return y like x."""
    require_alike(x, bias)
    assert bias.shape == x.shape[-1:], f"a bias of {bias.shape} for {x.shape}"
    x, bias = x.contiguous(), bias.contiguous()
    rows, columns = x.shape[:-1].numel(), x.shape[-1]
    y = torch.empty_like(x)
    if rows:
        sizes = (int(approximate), rows, columns, strips(rows, columns))
        library.launch("bias_gelu_forward", x, bias, y, *sizes, x.dtype)
    return y


def launch_backward(
    library: Library, gradient: Tensor, x: Tensor, bias: Tensor, approximate: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and bias."""
    require_alike(x, gradient, bias)
    gradient, x, bias = gradient.contiguous(), x.contiguous(), bias.contiguous()
    rows, columns = x.shape[:-1].numel(), x.shape[-1]
    count = strips(rows, columns)
    of_x, of_bias = torch.empty_like(x), torch.empty_like(bias)
    tensors = (gradient, x, bias, of_x, of_bias, partial_sums(count, columns, x))
    library.launch("bias_gelu_backward", *tensors, int(approximate), rows, columns, count, x.dtype)
    return of_x, of_bias


@torch.library.custom_op("megatron_bio::bias_gelu", mutates_args=(), device_types="cpu")
def _forward(x: Tensor, bias: Tensor, approximate: bool) -> Tensor:
    return reference(x.contiguous(), bias, approximate)


@_forward.register_kernel("cuda")
def _(x: Tensor, bias: Tensor, approximate: bool) -> Tensor:
    return launch_forward(cuda_library(), x, bias, approximate)


@_forward.register_fake
def _(x: Tensor, bias: Tensor, approximate: bool) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("megatron_bio::bias_gelu_backward", mutates_args=(), device_types="cpu")
def _backward(gradient: Tensor, x: Tensor, bias: Tensor, approximate: bool) -> tuple[Tensor, Tensor]:
    kind = "tanh" if approximate else "none"
    of_x = torch.ops.aten.gelu_backward(gradient.contiguous(), (x + bias).contiguous(), approximate=kind)
    wide = of_x.to(torch.promote_types(x.dtype, torch.float32))
    return of_x, wide.flatten(0, -2).sum(0).to(bias.dtype)


@_backward.register_kernel("cuda")
def _(gradient: Tensor, x: Tensor, bias: Tensor, approximate: bool) -> tuple[Tensor, Tensor]:
    return launch_backward(cuda_library(), gradient, x, bias, approximate)


@_backward.register_fake
def _(gradient: Tensor, x: Tensor, bias: Tensor, approximate: bool) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), bias.new_empty(bias.shape)


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    x, bias, ctx.approximate = inputs
    ctx.save_for_backward(x, bias)


def _gradients(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    return *_backward(gradient, *ctx.saved_tensors, ctx.approximate), None


_forward.register_autograd(_gradients, setup_context=_keep)
