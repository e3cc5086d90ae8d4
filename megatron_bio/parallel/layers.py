"""Parallel layers: linear by columns and rows, vocabulary-parallel embedding, layer norm, replicated linear.

Shapes: S sequence, R rows of the batch, H hidden; under sequence parallelism a rank holds s = S / tp positions, otherwise
s = S. Activations are [s, R, H], sequence first, so that gathering a sequence is one contiguous copy.

Every layer takes plain sizes and a `TensorParallel`. `sequence_partial` names the parameters of a layer whose gradient on one rank
covers its slice of the sequence only; `parallel.gradients` sums them over tp once per step.
"""

from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.kernels.layer_norm import layer_norm
from megatron_bio.parallel import collectives
from megatron_bio.parallel.computation import TORCH, Computation
from megatron_bio.parallel.parameters import Initializer, constant, local, parameter

COMPUTE_DTYPES = MappingProxyType({"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16})
"""Names of precisions, as options have them, to the dtype to compute in."""


@dataclass(frozen=True)
class TensorParallel:
    """What every layer needs to know: the tp axis, whether the sequence is split over it, the dtype to compute in, and by what."""

    mesh: DeviceMesh
    sequence_parallel: bool
    compute_dtype: torch.dtype
    computation: Computation = TORCH

    @property
    def splits_sequence(self) -> bool:
        """Whether a rank holds only a slice of each sequence."""
        return self.sequence_parallel and self.mesh.size() > 1


class ParallelLayer(nn.Module):
    """Base of the layers: remembers its place in the layout."""

    sequence_partial: tuple[str, ...] = ()

    def __init__(self, tensor_parallel: TensorParallel) -> None:
        super().__init__()
        self.tensor_parallel = tensor_parallel
        self.group = tensor_parallel.mesh.get_group()
        self.splits_sequence = tensor_parallel.splits_sequence
        self.compute_dtype = tensor_parallel.compute_dtype


class ColumnParallelLinear(ParallelLayer):
    """y = x Aᵀ + b with A [out, in] split by rows over tp: [s, R, in] -> [S, R, out / tp].

    The input is gathered (sequence parallel) or copied; the output stays split.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tensor_parallel: TensorParallel,
        initializer: Initializer,
    ) -> None:
        super().__init__(tensor_parallel)
        self.multiply = tensor_parallel.computation.linear
        self.weight = parameter((out_features, in_features), tensor_parallel.mesh, 0, initializer)
        self.bias = parameter((out_features,), tensor_parallel.mesh, 0, constant(0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return this rank's columns."""
        x = self._enter(x)
        return self.multiply(x, local(self.weight, x.dtype), local(self.bias, x.dtype))

    def product(self, x: Tensor) -> Tensor:
        """Return this rank's columns without the bias, for an operation that adds it."""
        x = self._enter(x)
        return self.multiply(x, local(self.weight, x.dtype))

    def _enter(self, x: Tensor) -> Tensor:
        enter = collectives.gather if self.splits_sequence else collectives.copy
        return enter(x.to(self.compute_dtype), self.group)


class RowParallelLinear(ParallelLayer):
    """y = x Aᵀ + b with A [out, in] split by columns over tp: [S, R, in / tp] -> [s, R, out].

    The partial products are reduce-scattered along the sequence (sequence parallel) or summed; then b is added, unless who owns
    the layer sets `leaves_bias` because the kernel that comes next does it.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tensor_parallel: TensorParallel,
        initializer: Initializer,
    ) -> None:
        super().__init__(tensor_parallel)
        self.multiply = tensor_parallel.computation.linear
        self.weight = parameter((out_features, in_features), tensor_parallel.mesh, 1, initializer)
        self.bias = parameter((out_features,), tensor_parallel.mesh, None, constant(0.0))
        self.sequence_partial = ("bias",) if self.splits_sequence else ()
        self.leaves_bias = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the whole product for this rank's positions."""
        leave = collectives.reduce_scatter if self.splits_sequence else collectives.reduce
        product = leave(self.multiply(x, local(self.weight, x.dtype)), self.group)
        return product if self.leaves_bias else product + local(self.bias, product.dtype)


class ReplicatedLinear(ParallelLayer):
    """y = x Aᵀ + b on every tp rank alike, for small layers behind `collectives.join`."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tensor_parallel: TensorParallel,
        initializer: Initializer,
    ) -> None:
        super().__init__(tensor_parallel)
        self.weight = parameter((out_features, in_features), tensor_parallel.mesh, None, initializer)
        self.bias = parameter((out_features,), tensor_parallel.mesh, None, constant(0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply: [..., in] -> [..., out]."""
        x = x.to(self.compute_dtype)
        return F.linear(x, local(self.weight, x.dtype), local(self.bias, x.dtype))


class LayerNorm(ParallelLayer):
    """Layer norm over the last dim; under sequence parallelism its parameters see a slice of the sequence."""

    def __init__(self, hidden_size: int, tensor_parallel: TensorParallel, epsilon: float) -> None:
        super().__init__(tensor_parallel)
        self.epsilon = epsilon
        self.normalise = (
            layer_norm
            if "layer_norm" in tensor_parallel.computation.kernels
            else tensor_parallel.computation.norm
        )
        self.weight = parameter((hidden_size,), tensor_parallel.mesh, None, constant(1.0))
        self.bias = parameter((hidden_size,), tensor_parallel.mesh, None, constant(0.0))
        self.sequence_partial = ("weight", "bias") if self.splits_sequence else ()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [..., H]; statistics are float32 in every dtype."""
        return self.normalise(x, local(self.weight, x.dtype), local(self.bias, x.dtype), self.epsilon)


class VocabParallelEmbedding(ParallelLayer):
    """Rows of a [V, H] table split over tp by vocabulary: ids [R, S] -> [s, R, H]."""

    def __init__(
        self,
        rows: int,
        hidden_size: int,
        tensor_parallel: TensorParallel,
        initializer: Initializer,
    ) -> None:
        super().__init__(tensor_parallel)
        self.weight = parameter((rows, hidden_size), tensor_parallel.mesh, 0, initializer)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up: each rank finds its own rows, and the sum over ranks has them all."""
        weight = self.weight.to_local()
        first = self.tensor_parallel.mesh.get_local_rank() * weight.shape[0]
        foreign = (ids < first) | (ids >= first + weight.shape[0])
        found = F.embedding((ids - first).masked_fill(foreign, 0), weight)
        found = found.masked_fill(foreign[..., None], 0.0).transpose(0, 1).to(self.compute_dtype)
        # The residual stream keeps this order in memory: for layer norms, and because messages must be contiguous.
        found = found.contiguous()
        leave = collectives.reduce_scatter if self.splits_sequence else collectives.reduce
        return leave(found, self.group)


class SequenceEmbedding(ParallelLayer):
    """A small replicated table (positions, token types): ids [R, S] -> this rank's positions [s, R, H]."""

    def __init__(
        self,
        rows: int,
        hidden_size: int,
        tensor_parallel: TensorParallel,
        initializer: Initializer,
    ) -> None:
        super().__init__(tensor_parallel)
        self.weight = parameter((rows, hidden_size), tensor_parallel.mesh, None, initializer)
        self.sequence_partial = ("weight",) if self.splits_sequence else ()

    def forward(self, ids: Tensor) -> Tensor:
        """Look up the ids of this rank's positions."""
        ids = ids.transpose(0, 1)
        if self.splits_sequence:
            ids = collectives.split(ids, self.group)
        return F.embedding(ids, self.weight.to_local()).to(self.compute_dtype)
