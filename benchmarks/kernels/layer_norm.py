"""Layer norm: time and bandwidth beside torch, torch.compile and Liger.

python benchmarks/kernels/layer_norm.py
"""

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.layer_norm import layer_norm, reference

EPSILON = 1e-5


def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Make x, weight and bias."""
    sizes = shape, shape[-1:], shape[-1:]
    return tuple(torch.randn(size, device=device, dtype=torch.bfloat16).requires_grad_() for size in sizes)


def liger(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the same by Liger."""
    from liger_kernel.transformers.functional import liger_layer_norm

    return liger_layer_norm(x, weight, bias, EPSILON)


def benches() -> list[Bench]:
    """Return a microbatch of 32 rows of 512 tokens at the widths of the published models."""
    return [
        # The forward reads x and writes y; the backward reads x and the gradient and writes one.
        Bench(
            "layer_norm",
            (512 * 32, hidden),
            inputs,
            lambda *t: reference(*t, EPSILON),
            lambda *t: layer_norm(*t, EPSILON),
            2,
            5,
            liger=liger,
        )
        for hidden in (1024, 2048, 2560)
    ]


if __name__ == "__main__":
    main(benches())
