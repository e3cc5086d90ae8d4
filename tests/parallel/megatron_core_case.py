"""The same layers from us and from megatron-core, with the same weights, inputs and gradients of the output, on one tp group."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from megatron_bio.parallel import layers
from megatron_bio.parallel.cross_entropy import vocab_parallel_cross_entropy
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from megatron_bio.parallel.parameters import constant, set_from_full

LENGTH, ROWS, INPUTS, OUTPUTS, VOCABULARY = 8, 3, 12, 20, 40
Tensors = dict[str, Tensor]


@contextmanager
def megatron(ranks: int) -> Iterator[ModuleType]:
    """Yield megatron.core.tensor_parallel with its global state set to one tp group of all ranks, and take the state down again.

    Its sequence-parallel code allocates on `torch.cuda.current_device()`, whatever the tensors are on; here that is the CPU.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from megatron.core import parallel_state, tensor_parallel

        parallel_state.initialize_model_parallel(tensor_model_parallel_size=ranks)
        try:
            with mock.patch.object(torch.cuda, "current_device", lambda: torch.device("cpu")):
                yield tensor_parallel
        finally:
            parallel_state.destroy_model_parallel()


def draw(name: str, *shape: int) -> Tensor:
    """Return the same numbers on every rank for a name."""
    seed = int.from_bytes(name.encode()[:7], "little")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def settings(ranks: int, sequence_parallel: bool) -> dict[str, object]:
    """Return the keywords that their layers take; each cuts its own part out of the full matrix that it is given."""
    from megatron.core.model_parallel_config import ModelParallelConfig

    config = ModelParallelConfig(
        tensor_model_parallel_size=ranks, sequence_parallel=sequence_parallel, use_cpu_initialization=True
    )
    return {"config": config, "init_method": lambda full: full.copy_(draw("weight", *full.shape))}


def own(layer: nn.Module) -> nn.Module:
    """Give one of our layers the weights that theirs draw."""
    for name, parameter in layer.named_parameters():
        set_from_full(parameter, draw(name, *parameter.shape))
    return layer


def part(x: Tensor, dim: int) -> Tensor:
    return x.chunk(dist.get_world_size(), dim)[dist.get_rank()].clone()


def run(layer: nn.Module, x: Tensor, output_gradient: Tensor, batch_first: bool = False) -> Tensors:
    """Return the output, the gradient of the input (where it has one) and those of this rank's parameters."""
    x = x.clone().requires_grad_(x.is_floating_point())
    y = layer(x)
    y = y[0] if isinstance(y, tuple) else y  # theirs return the bias that they did not add
    y = y.transpose(0, 1) if batch_first else y
    y.backward(output_gradient)
    found = {"output": y.detach()} | ({"input gradient": x.grad} if x.grad is not None else {})
    for name, parameter in layer.named_parameters():
        gradient = parameter.grad
        found[f"{name} gradient"] = gradient.to_local() if isinstance(gradient, DTensor) else gradient
    return found


def column(ranks: int, sequence_parallel: bool) -> tuple[Tensors, Tensors]:
    """ColumnParallelLinear; under sequence parallelism each rank has its positions of the input only."""
    x = draw("x", LENGTH, ROWS, INPUTS)
    x = part(x, 0) if sequence_parallel else x
    output_gradient = part(draw("gradient", LENGTH, ROWS, OUTPUTS), 2)
    ours = own(
        layers.ColumnParallelLinear(INPUTS, OUTPUTS, _tensor_parallel(ranks, sequence_parallel), constant(0))
    )
    with megatron(ranks) as peer:
        theirs = peer.ColumnParallelLinear(INPUTS, OUTPUTS, **settings(ranks, sequence_parallel))
        theirs.bias.data.copy_(part(draw("bias", OUTPUTS), 0))
        return run(ours, x, output_gradient), run(theirs, x, output_gradient)


def row(ranks: int, sequence_parallel: bool) -> tuple[Tensors, Tensors]:
    """RowParallelLinear; under sequence parallelism each rank gets its positions of the output only."""
    x = part(draw("x", LENGTH, ROWS, INPUTS), 2)
    output_gradient = draw("gradient", LENGTH, ROWS, OUTPUTS)
    output_gradient = part(output_gradient, 0) if sequence_parallel else output_gradient
    ours = own(
        layers.RowParallelLinear(INPUTS, OUTPUTS, _tensor_parallel(ranks, sequence_parallel), constant(0))
    )
    with megatron(ranks) as peer:
        keywords = settings(ranks, sequence_parallel) | {"input_is_parallel": True, "skip_bias_add": False}
        theirs = peer.RowParallelLinear(INPUTS, OUTPUTS, bias=True, **keywords)
        theirs.bias.data.copy_(draw("bias", OUTPUTS))
        return run(ours, x, output_gradient), run(theirs, x, output_gradient)


def embedding(ranks: int, sequence_parallel: bool) -> tuple[Tensors, Tensors]:
    """VocabParallelEmbedding; theirs returns rows first unless it splits the sequence."""
    ids = torch.arange(ROWS * LENGTH).mul(7).remainder(VOCABULARY).view(ROWS, LENGTH)
    output_gradient = draw("gradient", LENGTH, ROWS, OUTPUTS)
    output_gradient = part(output_gradient, 0) if sequence_parallel else output_gradient
    tensor_parallel = _tensor_parallel(ranks, sequence_parallel)
    ours = own(layers.VocabParallelEmbedding(VOCABULARY, OUTPUTS, tensor_parallel, constant(0)))
    with megatron(ranks) as peer:
        keywords = settings(ranks, sequence_parallel) | {"reduce_scatter_embeddings": sequence_parallel}
        theirs = peer.VocabParallelEmbedding(VOCABULARY, OUTPUTS, **keywords)
        return run(ours, ids, output_gradient), run(
            theirs, ids, output_gradient, batch_first=not sequence_parallel
        )


def cross_entropy(ranks: int, vocab_size: int, keep_padding: bool = False) -> tuple[Tensors, Tensors]:
    """vocab_parallel_cross_entropy; theirs counts the padding of the table too, unless its logits are very small."""
    logits = draw("logits", LENGTH, ROWS, VOCABULARY) * 8
    targets = torch.arange(LENGTH * ROWS).mul(7).remainder(vocab_size).view(LENGTH, ROWS)
    output_gradient = draw("gradient", LENGTH, ROWS)
    padding = torch.arange(VOCABULARY) >= vocab_size
    masked = logits if keep_padding else logits.masked_fill(padding, -1e30)
    mesh = build_mesh(MeshShape(tp=ranks), "cpu")["tp"]

    def loss_and_gradient(leaf: Tensor, losses: Tensor) -> Tensors:
        losses.backward(output_gradient)
        return {"output": losses.detach(), "input gradient": leaf.grad}

    with megatron(ranks) as peer:
        leaf = part(logits, 2).requires_grad_()
        ours = loss_and_gradient(leaf, vocab_parallel_cross_entropy(leaf, targets, mesh, vocab_size)[0])
        leaf = part(masked, 2).requires_grad_()
        # Theirs computes in place of its input.
        theirs = loss_and_gradient(leaf, peer.vocab_parallel_cross_entropy(leaf.clone(), targets))
    return ours, theirs


def _tensor_parallel(ranks: int, sequence_parallel: bool) -> layers.TensorParallel:
    return layers.TensorParallel(
        build_mesh(MeshShape(tp=ranks), "cpu")["tp"], sequence_parallel, torch.float32
    )
