"""The parts of a cross entropy over a split vocabulary that one rank computes; `parallel.cross_entropy` exchanges and joins them.

logits [..., C] are the columns first.. of the vocabulary, targets int64 [...] count in all of it. Columns from `real` on are
padding of the table. Source: Megatron-LM, arXiv 1909.08053, section 3; the maximum and the sum in one pass: Milakov and
Gimelshein, arXiv 1805.02867.
"""

import torch
from torch import Tensor

from megatron_bio.kernels.library import Library, cuda_library


def statistics_reference(
    logits: Tensor, targets: Tensor, first: int, real: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return of each position what the ranks exchange: the definition.

    The largest real logit, the vocabulary id of the first that has it, the sum of exp(logit - largest), and the target's logit, 0
    if it is not here. All in float32 (float64 for float64) but the id.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own, index = _own(targets, first, logits.shape[-1])
    target_logit = wide.gather(-1, index[..., None]).squeeze(-1).masked_fill(~own, 0.0)
    if not real:
        nothing = torch.zeros_like(target_logit)
        return nothing - torch.inf, torch.full_like(targets, first), nothing, target_logit
    largest, best = wide[..., :real].max(-1)
    total = (wide[..., :real] - largest[..., None]).exp().sum(-1)
    return largest, best + first, total, target_logit


def gradient_reference(
    logits: Tensor, targets: Tensor, largest: Tensor, total: Tensor, gradient: Tensor, first: int, real: int
) -> Tensor:
    """Return (softmax - one at the target) * gradient; largest and total are those of the whole vocabulary."""
    wide = (logits.to(largest.dtype) - largest[..., None]).exp() / total[..., None]
    wide[..., real:] = 0.0
    own, index = _own(targets, first, logits.shape[-1])
    wide.scatter_add_(-1, index[..., None], -own.to(wide.dtype)[..., None])
    return (wide * gradient[..., None]).to(logits.dtype)


def _own(targets: Tensor, first: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return which targets lie in these columns, and at which of them; 0 for the others."""
    own = (targets >= first) & (targets < first + columns)
    return own, (targets - first).masked_fill(~own, 0)


def launch_statistics(
    library: Library, logits: Tensor, targets: Tensor, first: int, real: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Do as `statistics_reference` by the kernel."""
    assert targets.dtype == torch.int64 and targets.shape == logits.shape[:-1], (
        f"{targets.shape} for {logits.shape}"
    )
    logits, targets = logits.contiguous(), targets.contiguous()
    largest, total, target_logit = (
        torch.empty(targets.shape, dtype=torch.float32, device=logits.device) for _ in range(3)
    )
    best = torch.empty_like(targets)
    if targets.numel():
        tensors = (logits, targets, largest, best, total, target_logit)
        sizes = (first, real, targets.numel(), logits.shape[-1])
        library.launch("cross_entropy_statistics", *tensors, *sizes, logits.dtype)
    return largest, best, total, target_logit


def launch_gradient(
    library: Library,
    logits: Tensor,
    targets: Tensor,
    largest: Tensor,
    total: Tensor,
    gradient: Tensor,
    first: int,
    real: int,
) -> None:
    """Write what `gradient_reference` returns over the logits, which must be contiguous."""
    if targets.numel():
        numbers = [number.to(torch.float32).contiguous() for number in (largest, total, gradient)]
        tensors = (targets.contiguous(), *numbers)
        sizes = (first, real, targets.numel(), logits.shape[-1])
        library.launch("cross_entropy_gradient", logits, *tensors, *sizes, logits.dtype)


@torch.library.custom_op("megatron_bio::cross_entropy_statistics", mutates_args=(), device_types="cpu")
def statistics(
    logits: Tensor, targets: Tensor, first: int, real: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Do as `statistics_reference`, on CUDA by the kernel, which takes every shape."""
    return statistics_reference(logits, targets, first, real)


@statistics.register_kernel("cuda")
def _(logits: Tensor, targets: Tensor, first: int, real: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return launch_statistics(cuda_library(), logits, targets, first, real)


@statistics.register_fake
def _(logits: Tensor, targets: Tensor, first: int, real: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    wide = torch.promote_types(logits.dtype, torch.float32)
    largest, total, target_logit = (logits.new_empty(targets.shape, dtype=wide) for _ in range(3))
    return largest, targets.new_empty(targets.shape), total, target_logit


@torch.library.custom_op("megatron_bio::cross_entropy_gradient", mutates_args={"logits"}, device_types="cpu")
def put_gradient(
    logits: Tensor, targets: Tensor, largest: Tensor, total: Tensor, gradient: Tensor, first: int, real: int
) -> None:
    """Write what `gradient_reference` returns over the logits, so that the two largest tensors of a step are one."""
    logits.copy_(gradient_reference(logits, targets, largest, total, gradient, first, real))


@put_gradient.register_kernel("cuda")
def _(
    logits: Tensor, targets: Tensor, largest: Tensor, total: Tensor, gradient: Tensor, first: int, real: int
) -> None:
    launch_gradient(cuda_library(), logits, targets, largest, total, gradient, first, real)


@put_gradient.register_fake
def _(
    logits: Tensor, targets: Tensor, largest: Tensor, total: Tensor, gradient: Tensor, first: int, real: int
) -> None:
    return None
