"""torch.compile of the transformer blocks, one graph for all of them."""

from collections.abc import Iterable

import torch
import torch._functorch.config
from torch import nn


def compile_blocks(
    blocks: Iterable[nn.Module], backend: str = "inductor", *, split_backward: bool = False
) -> None:
    """Compile the forward of each block in place; call it when the parameters are on their device and before sharding.

    With `split_backward` the pipeline's schedule runs a backward more than once, so it must not reuse the memory of what it
    was given; torch has only a switch for the whole process.

    The forward alone and not the module: the hooks by which FSDP gathers and frees weights stay outside the graph, and parameters
    keep their names. All shapes are static, so nothing is compiled for changing ones.
    """
    if split_backward:
        torch._functorch.config.donated_buffer = False
    for block in blocks:
        _give_layer_number_as_tensor(block)
        block.forward = torch.compile(block.forward, backend=backend, dynamic=False)


def _give_layer_number_as_tensor(block: nn.Module) -> None:
    """Make of the layer's number, part of its dropout's key, an input of the graph; a constant would need a graph per layer."""
    device = next(block.parameters()).device
    for module in block.modules():
        if isinstance(getattr(module, "layer", None), int):
            module.layer = torch.tensor(module.layer, dtype=torch.int64, device=device)
