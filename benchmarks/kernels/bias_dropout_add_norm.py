"""Bias, dropout, residual sum and its layer norm: time and bandwidth beside torch, torch.compile, and our two kernels in turn.

python benchmarks/kernels/bias_dropout_add_norm.py
"""

from collections.abc import Callable

import torch
from bias_dropout_add import place
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.bias_dropout_add import bias_dropout_add
from megatron_bio.kernels.bias_dropout_add_norm import bias_dropout_add_norm, reference
from megatron_bio.kernels.layer_norm import layer_norm

EPSILON = 1e-5


def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Make x, bias, residual, weight and shift."""
    sizes = shape, shape[-1:], shape, shape[-1:], shape[-1:]
    return tuple(torch.randn(size, device=device, dtype=torch.bfloat16).requires_grad_() for size in sizes)


def in_turn(
    x: Tensor, bias: Tensor, residual: Tensor, weight: Tensor, shift: Tensor, *others: object
) -> tuple[Tensor, Tensor]:
    """Do the same by two kernels."""
    where, first, epsilon = others
    total = bias_dropout_add(x, bias, residual, where, first)
    return total, layer_norm(total, weight, shift, epsilon)


def bench(hidden: int, *, total_is_used: bool) -> Bench:
    """Return a microbatch of 32 rows of 512 tokens, in a block with the norm before (both results are used) or behind (y alone)."""

    def ready(operation: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        def call(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
            x = tensors[0]
            results = operation(*tensors, place(x.shape[1], x.device), 0, EPSILON)
            return results if total_is_used else results[1]

        return call

    # The forward reads x and the residual and writes two; the backward reads the total and one or two gradients and writes two.
    return Bench(
        f"bias_dropout_add_norm ({'both' if total_is_used else 'y alone'})",
        (512, 32, hidden),
        inputs,
        ready(reference),
        ready(bias_dropout_add_norm),
        4,
        9 if total_is_used else 8,
        {"two kernels": ready(in_turn)},
    )


def benches() -> list[Bench]:
    """Return the widths of the published models, all with the norm before; BERT of 345m with the norm behind as well."""
    widths = (1024, 2048, 2560)
    return [*(bench(hidden, total_is_used=True) for hidden in widths), bench(1024, total_is_used=False)]


if __name__ == "__main__":
    main(benches())
