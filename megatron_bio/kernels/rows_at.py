"""Rows of hidden states at given positions of each sample: what BERT's heads compute on.

hidden [S, R, H], positions int64 [R, M] from 0 to S - 1 -> [R, M, H]. Positions may repeat, as those of empty slots do.
torch raises at a position outside the sequence, but counts negative ones from the end. The kernel cannot raise: it reads
nothing, its row is NaN, and so the loss is.
"""

import torch
from torch import Tensor

from megatron_bio.kernels.columns import strips
from megatron_bio.kernels.library import Library, cuda_library


def reference(hidden: Tensor, positions: Tensor) -> Tensor:
    """Take the rows: the definition."""
    rows = torch.arange(positions.shape[0], device=positions.device)[:, None]
    return hidden[positions, rows]


def rows_at(hidden: Tensor, positions: Tensor) -> Tensor:
    """Do the same, on CUDA by the kernel, which takes every shape."""
    return _forward(hidden, positions)


def launch_forward(library: Library, hidden: Tensor, positions: Tensor) -> Tensor:
    """Return the rows [R, M, H]."""
    _require_positions(hidden, positions, hidden.shape[1])
    hidden, positions = hidden.contiguous(), positions.contiguous()
    y = hidden.new_empty(*positions.shape, hidden.shape[-1])
    if y.numel():
        _launch("rows_at_forward", library, hidden, positions, y, hidden.shape[0], y.shape[:2].numel())
    return y


def launch_backward(library: Library, gradient: Tensor, positions: Tensor, length: int) -> Tensor:
    """Return the gradient of hidden [S, R, H], S = `length`: of repeated positions the sum, 0 where no slot is."""
    _require_positions(gradient, positions, gradient.shape[0])
    assert gradient.shape[:-1] == positions.shape, f"{gradient.shape} for {positions.shape}"
    gradient, positions = gradient.contiguous(), positions.contiguous()
    of_hidden = gradient.new_empty(length, gradient.shape[0], gradient.shape[-1])
    if of_hidden.numel():
        rows = of_hidden.shape[:2].numel()
        _launch("rows_at_backward", library, gradient, positions, of_hidden, length, rows)
    return of_hidden


def _launch(
    name: str, library: Library, source: Tensor, positions: Tensor, result: Tensor, length: int, rows: int
) -> None:
    samples, slots = positions.shape
    columns = source.shape[-1]
    sizes = (length, samples, slots, columns, strips(rows, columns))
    library.launch(name, source, positions, result, *sizes, source.dtype)


def _require_positions(beside: Tensor, positions: Tensor, samples: int) -> None:
    assert positions.dtype == torch.int64 and positions.ndim == 2 and positions.device == beside.device, (
        f"positions are {positions.dtype} {positions.shape} on {positions.device}, not int64 [R, M] on {beside.device}"
    )
    assert positions.shape[0] == samples, f"positions {positions.shape} for {samples} samples"


@torch.library.custom_op("megatron_bio::rows_at", mutates_args=(), device_types="cpu")
def _forward(hidden: Tensor, positions: Tensor) -> Tensor:
    return reference(hidden, positions)


@_forward.register_kernel("cuda")
def _(hidden: Tensor, positions: Tensor) -> Tensor:
    return launch_forward(cuda_library(), hidden, positions)


@_forward.register_fake
def _(hidden: Tensor, positions: Tensor) -> Tensor:
    return hidden.new_empty(*positions.shape, hidden.shape[-1])


@torch.library.custom_op("megatron_bio::rows_at_backward", mutates_args=(), device_types="cpu")
def _backward(gradient: Tensor, positions: Tensor, length: int) -> Tensor:
    samples, _, columns = gradient.shape
    wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    rows = torch.arange(samples, device=positions.device)[:, None]
    # As in the forward, negative positions count from the end.
    numbers = positions.remainder(length) * samples + rows
    sums = wide.new_zeros(length * samples, columns).index_add_(0, numbers.flatten(), wide.flatten(0, 1))
    return sums.view(length, samples, columns).to(gradient.dtype)


@_backward.register_kernel("cuda")
def _(gradient: Tensor, positions: Tensor, length: int) -> Tensor:
    return launch_backward(cuda_library(), gradient, positions, length)


@_backward.register_fake
def _(gradient: Tensor, positions: Tensor, length: int) -> Tensor:
    return gradient.new_empty(length, gradient.shape[0], gradient.shape[-1])


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    hidden, positions = inputs
    ctx.save_for_backward(positions)
    ctx.length = hidden.shape[0]


def _gradients(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
    (positions,) = ctx.saved_tensors
    return _backward(gradient, positions, ctx.length), None


_forward.register_autograd(_gradients, setup_context=_keep)
