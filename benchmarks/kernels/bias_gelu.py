"""Bias and GELU, exact and approximate: time and bandwidth beside torch and torch.compile.

python benchmarks/kernels/bias_gelu.py
"""

from functools import partial

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.bias_gelu import bias_gelu, reference


def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Make x and bias."""
    sizes = shape, shape[-1:]
    return tuple(torch.randn(size, device=device, dtype=torch.bfloat16).requires_grad_() for size in sizes)


def benches() -> list[Bench]:
    """Return a microbatch of 32 rows of 512 tokens at the inner widths of the published models."""
    return [
        # The forward reads x and writes y; the backward reads x and the gradient and writes one.
        Bench(
            f"bias_gelu {'tanh' if approximate else 'erf'}",
            (512 * 32, 4 * hidden),
            inputs,
            partial(reference, approximate=approximate),
            partial(bias_gelu, approximate=approximate),
            2,
            5,
            "it has GELU times a second tensor only",
        )
        for hidden, approximate in ((1024, False), (2048, False), (2560, True))
    ]


if __name__ == "__main__":
    main(benches())
