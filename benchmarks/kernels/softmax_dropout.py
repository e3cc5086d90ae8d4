"""Masked softmax with dropout: time and bandwidth beside torch and torch.compile.

python benchmarks/kernels/softmax_dropout.py
"""

import functools

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.kernels.dropout import DropoutPlace, sample_keys
from megatron_bio.kernels.softmax_dropout import reference, softmax_dropout


def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Make scores."""
    return (torch.randn(shape, device=device, dtype=torch.bfloat16).requires_grad_(),)


@functools.cache
def arguments(shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, float, DropoutPlace, int]:
    """Return a mask of two samples a row, the scale, a dropout of 0.1, and the first head; not part of the time."""
    rows, _, queries, keys = shape
    segments = [torch.arange(length, device=device) * 2 // length for length in (queries, keys)]
    mask = (segments[0][:, None] == segments[1][None])[None, None].expand(rows, 1, -1, -1).contiguous()
    return mask, 0.125, DropoutPlace(0.1, sample_keys(0, torch.arange(rows, device=device)), 1, 1), 0


def benches() -> list[Bench]:
    """Return the attention of 16 rows in BERT-345m and of 4 in GPT-2.7b."""
    return [
        # The forward reads the scores and writes probabilities twice, before and after dropout; the backward reads the gradient and
        # the probabilities and writes a gradient. The mask, one byte for all heads, is left out.
        Bench(
            "softmax_dropout",
            shape,
            inputs,
            lambda scores: reference(scores, *arguments(tuple(scores.shape), scores.device)),
            lambda scores: softmax_dropout(scores, *arguments(tuple(scores.shape), scores.device)),
            3,
            6,
        )
        for shape in ((16, 16, 512, 512), (4, 20, 1024, 1024))
    ]


if __name__ == "__main__":
    main(benches())
