"""Bias, dropout and residual sum: time and bandwidth beside torch and torch.compile.

python benchmarks/kernels/bias_dropout_add.py
"""

import functools

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.bias_dropout_add import bias_dropout_add, reference
from megatron_bio.kernels.dropout import DropoutPlace, sample_keys


def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Make x, bias and residual."""
    sizes = shape, shape[-1:], shape
    return tuple(torch.randn(size, device=device, dtype=torch.bfloat16).requires_grad_() for size in sizes)


@functools.cache
def place(samples: int, device: torch.device) -> DropoutPlace:
    """Return a dropout of 0.1; the keys are made once a step, so they take no part in the time."""
    return DropoutPlace(0.1, sample_keys(0, torch.arange(samples, device=device)), 1, 2)


def benches() -> list[Bench]:
    """Return a microbatch of 32 rows of 512 tokens at the widths of the published models."""
    return [
        # The forward reads x and the residual and writes y; the backward reads a gradient and writes one.
        Bench(
            "bias_dropout_add",
            (512, 32, hidden),
            inputs,
            lambda *t: reference(*t, place(t[0].shape[1], t[0].device), 0),
            lambda *t: bias_dropout_add(*t, place(t[0].shape[1], t[0].device), 0),
            3,
            5,
        )
        for hidden in (1024, 2048, 2560)
    ]


if __name__ == "__main__":
    main(benches())
