"""By what a model is computed: which operations are kernels, how attention keeps samples apart, whose norms and products."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from megatron_bio.parallel.implementations import torch_native


@dataclass(frozen=True)
class Computation:
    """The default is torch's own operations. Parameters, layouts and checkpoints are the same with any other."""

    kernels: frozenset[str] = frozenset()
    """The operations of `kernels.choice` that run as CUDA kernels; the others run as plain torch."""
    sequences_per_row: int = 0
    """Sequences, padding as one of them, that variable-length attention has room for in a row; 0: attention takes a mask."""
    norm: Callable[..., Tensor] = torch_native.norm
    """What computes layer norms that no kernel does; see `implementations.registry`."""
    linear: Callable[..., Tensor] = torch_native.linear
    """What computes the products of the column- and row-parallel layers."""


TORCH = Computation()
