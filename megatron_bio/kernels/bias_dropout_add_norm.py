"""total = residual + dropout(x + bias) and the layer norm of it: what ends attention or MLP where a norm follows in the block.

x and residual [s, R, H]; bias, and the norm's weight and shift (its bias), [H]. The results are those of `bias_dropout_add` and
`layer_norm` one after the other: the statistics are of the total as it is rounded to its dtype.
"""

import torch
from torch import Tensor

from megatron_bio.kernels import bias_dropout_add as addition
from megatron_bio.kernels import layer_norm as norm
from megatron_bio.kernels.columns import partial_sums, row_blocks
from megatron_bio.kernels.dropout import DropoutPlace
from megatron_bio.kernels.fallback import announce
from megatron_bio.kernels.library import LONGEST_ROW, Library, cuda_library, require_alike


def reference(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    weight: Tensor,
    shift: Tensor,
    place: DropoutPlace,
    first_position: int,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """Return the total and its norm: the definition. `first_position` is that of x[0] in the sequence."""
    total = addition.reference(x, bias, residual, place, first_position)
    return total, norm.reference(total, weight, shift, epsilon)


def bias_dropout_add_norm(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    weight: Tensor,
    shift: Tensor,
    place: DropoutPlace,
    first_position: int,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """Do the same, on CUDA by the kernel; rows of more than `LONGEST_ROW` elements go to the reference, which is told once."""
    if x.shape[-1] > LONGEST_ROW:
        announce("bias_dropout_add_norm", f"rows of {x.shape[-1]} elements; it takes up to {LONGEST_ROW}")
        return reference(x, bias, residual, weight, shift, place, first_position, epsilon)
    total, y, _, _ = _forward(
        x, bias, residual, weight, shift, *place.arguments, first_position, float(epsilon)
    )
    return total, y


def launch_forward(
    library: Library,
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    weight: Tensor,
    shift: Tensor,
    place: DropoutPlace,
    first_position: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return total and y like x, and mean and inverse deviation of each row, float32."""
    require_alike(x, bias, residual, weight, shift)
    assert residual.shape == x.shape, f"{residual.shape} for {x.shape}"
    assert bias.shape == weight.shape == shift.shape == x.shape[-1:], (
        f"{bias.shape}, {weight.shape} and {shift.shape} for {x.shape}"
    )
    inputs = [tensor.contiguous() for tensor in (x, bias, residual, weight, shift)]
    positions, samples, columns = x.shape
    rows = positions * samples
    total, y = (x.new_empty(x.shape) for _ in range(2))
    mean, inverse = (torch.empty(x.shape[:-1], dtype=torch.float32, device=x.device) for _ in range(2))
    if rows:
        tensors = (*inputs, total, y, mean, inverse)
        sizes = (first_position, rows, samples, columns)
        library.launch(
            "bias_dropout_add_norm_forward", *tensors, float(epsilon), *place.of_kernel, *sizes, x.dtype
        )
    return total, y, mean, inverse


def launch_backward(
    library: Library,
    of_total: Tensor | None,
    of_y: Tensor,
    total: Tensor,
    weight: Tensor,
    mean: Tensor,
    inverse: Tensor,
    place: DropoutPlace,
    first_position: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, bias, residual, weight and shift from those of total, None if only y is used, and of y."""
    require_alike(total, of_y, weight, *([] if of_total is None else [of_total]))
    of_total = None if of_total is None else of_total.contiguous()
    of_y, total, weight = of_y.contiguous(), total.contiguous(), weight.contiguous()
    positions, samples, columns = total.shape
    rows = positions * samples
    blocks = row_blocks(rows)
    of_x, of_residual = (torch.empty_like(total) for _ in range(2))
    of_vectors = [torch.empty_like(weight) for _ in range(3)]
    partial = [partial_sums(blocks, columns, total) for _ in range(3)]
    tensors = (of_y, of_total, total, weight, mean, inverse, of_x, of_residual, *of_vectors, *partial)
    sizes = (first_position, rows, samples, columns, blocks)
    library.launch("bias_dropout_add_norm_backward", *tensors, *place.of_kernel, *sizes, total.dtype)
    of_bias, of_weight, of_shift = of_vectors
    return of_x, of_bias, of_residual, of_weight, of_shift


@torch.library.custom_op("megatron_bio::bias_dropout_add_norm", mutates_args=(), device_types="cpu")
def _forward(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    weight: Tensor,
    shift: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    total = addition.reference(x.contiguous(), bias, residual.contiguous(), place, first_position)
    return total, *torch.ops.megatron_bio.layer_norm(total, weight, shift, epsilon)


@_forward.register_kernel("cuda")
def _(
    x: Tensor,
    bias: Tensor,
    residual: Tensor,
    weight: Tensor,
    shift: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return launch_forward(cuda_library(), x, bias, residual, weight, shift, place, first_position, epsilon)


@_forward.register_fake
def _(x: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    statistics = torch.promote_types(x.dtype, torch.float32)
    total, y = (x.new_empty(x.shape) for _ in range(2))
    mean, inverse = (x.new_empty(x.shape[:-1], dtype=statistics) for _ in range(2))
    return total, y, mean, inverse


@torch.library.custom_op("megatron_bio::bias_dropout_add_norm_backward", mutates_args=(), device_types="cpu")
def _backward(
    of_total: Tensor | None,
    of_y: Tensor,
    total: Tensor,
    weight: Tensor,
    mean: Tensor,
    inverse: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    of_norm, of_weight, of_shift = torch.ops.megatron_bio.layer_norm_backward(
        of_y, total, weight, mean, inverse
    )
    of_residual = of_norm if of_total is None else of_norm + of_total.contiguous()
    of_x, of_bias = torch.ops.megatron_bio.bias_dropout_add_backward(
        of_residual, probability, keys, layer_number, layer_of_graph, site, first_position
    )
    return of_x, of_bias, of_residual, of_weight, of_shift


@_backward.register_kernel("cuda")
def _(
    of_total: Tensor | None,
    of_y: Tensor,
    total: Tensor,
    weight: Tensor,
    mean: Tensor,
    inverse: Tensor,
    probability: float,
    keys: Tensor,
    layer_number: int,
    layer_of_graph: Tensor | None,
    site: int,
    first_position: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    place = DropoutPlace.of(probability, keys, layer_number, layer_of_graph, site)
    return launch_backward(
        cuda_library(), of_total, of_y, total, weight, mean, inverse, place, first_position
    )


@_backward.register_fake
def _(
    of_total: Tensor | None, of_y: Tensor, total: Tensor, weight: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    of_x, of_residual = (total.new_empty(total.shape) for _ in range(2))
    of_bias, of_weight, of_shift = (weight.new_empty(weight.shape) for _ in range(3))
    return of_x, of_bias, of_residual, of_weight, of_shift


def _keep(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]
) -> None:
    _, _, _, weight, _, ctx.probability, keys, ctx.layer, layer_of_graph, ctx.site, ctx.first, _ = inputs
    total, _, mean, inverse = output
    ctx.save_for_backward(total, weight, mean, inverse, keys, layer_of_graph)
    ctx.mark_non_differentiable(mean, inverse)
    ctx.set_materialize_grads(False)


def _gradients(
    ctx: torch.autograd.function.FunctionCtx, of_total: Tensor | None, of_y: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    if of_total is None and of_y is None:  # nothing depends on the results
        return (None,) * 12
    total, weight, mean, inverse, keys, layer_of_graph = ctx.saved_tensors
    of_y = torch.zeros_like(total) if of_y is None else of_y
    place = (ctx.probability, keys, ctx.layer, layer_of_graph, ctx.site, ctx.first)
    return *_backward(of_total, of_y, total, weight, mean, inverse, *place), *(None,) * 7


_forward.register_autograd(_gradients, setup_context=_keep)
