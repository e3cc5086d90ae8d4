"""Cross entropy over the vocabulary: time and bandwidth beside torch, torch.compile and Liger.

    python benchmarks/kernels/cross_entropy.py

Every candidate gets logits of its own in each call, because the kernel overwrites them; the copy is in all of the times. Liger
computes the gradient in its forward.
"""

import functools

import torch
from measure import Bench, main
from torch import Tensor

from megatron_bio.parallel.cross_entropy import vocab_parallel_cross_entropy
from megatron_bio.parallel.mesh import single_process_mesh


def inputs(device: torch.device, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Make logits."""
    return (torch.randn(shape, device=device, dtype=torch.bfloat16).requires_grad_(),)


@functools.cache
def targets_of(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return targets that are spread over the vocabulary; they take no part in the time."""
    return torch.arange(shape[0], device=device) * 7 % shape[1]


def losses(logits: Tensor, *, in_place: bool) -> Tensor:
    """Return the losses of a copy of the logits."""
    targets, vocabulary = targets_of(tuple(logits.shape), logits.device), logits.shape[-1]
    mesh = single_process_mesh()["tp"]  # one rank sends nothing
    return vocab_parallel_cross_entropy(logits.clone(), targets, mesh, vocabulary, in_place=in_place)[0]


def liger(logits: Tensor) -> Tensor:
    """Return the losses by Liger."""
    from liger_kernel.transformers.functional import liger_cross_entropy

    copy, targets = logits.clone(), targets_of(tuple(logits.shape), logits.device)
    return liger_cross_entropy(copy, targets, reduction="none").to(torch.float32)


def benches() -> list[Bench]:
    """Return the predictions of 32 BERT rows and of 16 GPT rows."""
    return [
        # A copy reads and writes; the forward reads, the backward reads and writes.
        Bench(
            "cross_entropy",
            shape,
            inputs,
            lambda logits: losses(logits, in_place=False),
            lambda logits: losses(logits, in_place=True),
            3,
            5,
            liger=liger,
        )
        for shape in ((80 * 32, 30592), (1024 * 16, 28928))
    ]


if __name__ == "__main__":
    main(benches())
