"""residual + dropout(x + bias): what ends attention and MLP.

x and residual [s, R, H], bias [H]. The mask is that of `kernels.dropout.hidden_dropout`, bit for bit; the backward hashes again.
"""

import torch
from torch import Tensor

from megatron_bio.kernels.columns import partial_sums, strips
from megatron_bio.kernels.dropout import DropoutPlace, hidden_dropout
from megatron_bio.kernels.library import Library, cuda_library, require_alike


def reference(x: Tensor, bias: Tensor, residual: Tensor, place: DropoutPlace, first_position: int) -> Tensor:
    """Add, drop and add: the definition. `first_position` is that of x[0] in the sequence."""
    return residual + _dropped(x + bias, place, first_position)


def bias_dropout_add(
    x: Tensor, bias: Tensor, residual: Tensor, place: DropoutPlace, first_position: int
) -> Tensor:
    """Do the same, on CUDA by the kernel, which takes every shape."""
    return _forward(x, bias, residual, *place.arguments, first_position)


def launch_forward(
    library: Library, x: Tensor, bias: Tensor, residual: Tensor, place: DropoutPlace, first_position: int
) -> Tensor:
    """Return y like x."""
    require_alike(x, bias, residual)
    assert residual.shape == x.shape and bias.shape == x.shape[-1:], (
        f"{residual.shape}, {bias.shape}, {x.shape}"
    )
    x, bias, residual = x.contiguous(), bias.contiguous(), residual.contiguous()
    positions, samples, columns = x.shape
    rows, y = positions * samples, torch.empty_like(x)
    if rows:
        sizes = (first_position, rows, samples, columns, strips(rows, columns))
        library.launch("bias_dropout_add_forward", x, bias, residual, y, *place.of_kernel, *sizes, x.dtype)
    return y


def launch_backward(
    library: Library, gradient: Tensor, place: DropoutPlace, first_position: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and bias; the residual's is the incoming one."""
    gradient = gradient.contiguous()
    positions, samples, columns = gradient.shape
    rows = positions * samples
    count = strips(rows, columns)
    of_x, of_bias = torch.empty_like(gradient), gradient.new_empty(columns)
    sizes = (first_position, rows, samples, columns, count)
    tensors = (gradient, of_x, of_bias, partial_sums(count, columns, gradient))
    library.launch("bias_dropout_add_backward", *tensors, *place.of_kernel, *sizes, gradient.dtype)
    return of_x, of_bias


def _dropped(x: Tensor, place: DropoutPlace, first_position: int) -> Tensor:
    return hidden_dropout(
        x, place.probability, place.keys, layer=place.layer, site=place.site, first_position=first_position
    )


@torch.library.custom_op("megatron_bio::bias_dropout_add", mutates_args=(), device_types="cpu")
def _forward(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
) -> Tensor:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return reference(x.contiguous(), bias, residual.contiguous(), place, first_position)


@_forward.register_kernel("cuda")
def _(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
) -> Tensor:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return launch_forward(cuda_library(), x, bias, residual, place, first_position)


@_forward.register_fake
def _(x: Tensor, *_: object) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("megatron_bio::bias_dropout_add_backward", mutates_args=(), device_types="cpu")
def _backward(
    gradient: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
) -> tuple[Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    # Dropout multiplies by numbers that do not depend on x, so its gradient is itself.
    of_x = _dropped(gradient.contiguous(), place, first_position)
    wide = of_x.to(torch.promote_types(of_x.dtype, torch.float32))
    return of_x.clone() if of_x is gradient else of_x, wide.flatten(0, 1).sum(0).to(of_x.dtype)


@_backward.register_kernel("cuda")
def _(
    gradient: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
) -> tuple[Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return launch_backward(cuda_library(), gradient, place, first_position)


@_backward.register_fake
def _(gradient: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return gradient.new_empty(gradient.shape), gradient.new_empty(gradient.shape[-1])


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    _, _, _, ctx.probability, keys, ctx.layer, layer_of_graph, ctx.site, ctx.first_position = inputs
    ctx.save_for_backward(keys, layer_of_graph)


def _gradients(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
    keys, layer_of_graph = ctx.saved_tensors
    of_x, of_bias = _backward(
        gradient, ctx.probability, keys, ctx.layer, layer_of_graph, ctx.site, ctx.first_position
    )
    return of_x, of_bias, gradient, None, None, None, None, None, None


_forward.register_autograd(_gradients, setup_context=_keep)
