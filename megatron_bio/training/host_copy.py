"""A copy of a run's tensors in host memory, which training no longer changes."""

import torch
from torch import Tensor


def host_copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy on the CPU of every tensor; a DTensor stays one, with its mesh and its placements.

    Only what this rank holds is copied, without communication. The copies are complete when this returns.
    """
    with torch.no_grad():
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
