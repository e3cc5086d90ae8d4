"""Rows at the masked positions: time and bandwidth beside torch and torch.compile.

python benchmarks/kernels/rows_at.py
"""

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.rows_at import reference, rows_at

SLOTS = 80
"""Of 512 positions, 15 % masked, rounded up to a multiple of 8."""


def positions_of(length: int, samples: int) -> Tensor:
    """Return positions in ascending order, and 4 empty slots at the end of each sample."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randperm(length, generator=generator)[:SLOTS].sort().values for _ in range(samples)]
    positions = torch.stack(drawn)
    positions[:, -4:] = 0
    return positions


def bench(hidden: int) -> Bench:
    """Return a microbatch of 32 rows of 512 tokens."""
    positions: list[Tensor] = []  # made with the inputs, so that they take no part in the time

    def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        positions[:] = [positions_of(*shape[:2]).to(device)]
        return (torch.randn(shape, device=device, dtype=torch.bfloat16).requires_grad_(),)

    share = SLOTS / 512
    return Bench(
        "rows_at",
        (512, 32, hidden),
        inputs,
        lambda x: reference(x, positions[0]),
        lambda x: rows_at(x, positions[0]),
        # The forward reads and writes the rows; the backward reads their gradients and writes the whole of hidden's.
        2 * share,
        3 * share + 1,
    )


if __name__ == "__main__":
    main([bench(hidden) for hidden in (1024, 2048, 2560)])  # the widths of the published models
