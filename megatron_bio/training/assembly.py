"""From a configuration and a mesh to the parts of the model that this rank holds, ready to compute."""

from dataclasses import dataclass

import torch
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.stages import stages_of_rank
from megatron_bio.kernels.choice import NORMS, chosen
from megatron_bio.kernels.variable_length import obstacle_of_machine, obstacle_of_model
from megatron_bio.models.parts import ModelParts, build_parts
from megatron_bio.models.recompute import Recompute
from megatron_bio.parallel.data_parallel import shard_data_parallel
from megatron_bio.parallel.implementations.registry import implementation
from megatron_bio.parallel.layers import COMPUTE_DTYPES, TensorParallel
from megatron_bio.training.passes import Passes, PipelinePasses, WholePasses


def chosen_kernels(
    option: str, device: torch.device, layout: ParallelConfig, norm: str = "torch"
) -> frozenset[str]:
    """Return the operations that run as CUDA kernels with `training.kernels: option` and `training.norm: norm`."""
    try:
        return fitting_kernels(chosen(option, device.type), layout, norm)
    except ValueError as problem:
        raise ConfigurationError(
            f"training.kernels {option}: {problem}. megatron-bio doctor says more; auto and reference run without the kernels."
        ) from None


def fitting_kernels(kernels: frozenset[str], layout: ParallelConfig, norm: str = "torch") -> frozenset[str]:
    """Return the operations of `kernels` that can run at a layout. A named norm replaces those that hold one.

    A split backward takes up an operation's gradient again for the weights. torch 2.11 then knows only the sum of what its results
    got (pytorch issue 170277), which is wrong for bias_dropout_add_norm, the one with two results.
    """
    if norm != "torch":
        kernels -= NORMS
    return kernels - {"bias_dropout_add_norm"} if layout.splits_backward else kernels


@dataclass(frozen=True)
class AttentionChoice:
    """How the attention of a run is computed."""

    sequences_per_row: int
    """Sequences that variable-length attention has room for in a row; 0 where it does not run."""
    why_not: str
    """Why it does not run; empty where it does."""


def chosen_attention(config: PretrainConfig, device: torch.device) -> AttentionChoice:
    """Return what `training.attention` comes to on the device; an error if it asks for what cannot run."""
    option, model = config.training.attention, config.model
    if option == "mask":
        return AttentionChoice(0, "training.attention is mask")
    sequences = config.data.sequences_per_row(model.architecture)
    dtype = COMPUTE_DTYPES[config.training.precision]
    problem = obstacle_of_machine(device.type) or obstacle_of_model(
        dtype, model.hidden_size // model.num_attention_heads, model.attention_dropout
    )
    if option == "variable_length" and problem:
        raise ConfigurationError(
            f"training.attention variable_length: {problem}. training.attention auto takes a mask where it cannot run."
        )
    if option == "auto" and not problem and model.architecture == "gpt" and config.data.reset_at_document_end:
        problem = (
            f"with data.reset_at_document_end rows hold any number of documents; training.attention variable_length takes "
            f"{sequences - 1}, data.max_samples_per_row"
        )
    return AttentionChoice(0 if problem else sequences, problem)


def chosen_implementations(config: PretrainConfig) -> dict[str, str]:
    """Return the options of `implementations.registry` and the names that a run gives them."""
    return {
        "training.norm": config.training.norm,
        "training.linear": config.training.linear,
        "optimizer.implementation": config.optimizer.implementation,
    }


def build_model_parts(
    model: ModelConfig,
    layout: ParallelConfig,
    mesh: DeviceMesh,
    device: torch.device,
    compute_dtype: torch.dtype,
    kernels: frozenset[str] = frozenset(),
    sequences_per_row: int = 0,
    norm: str = "torch",
    linear: str = "torch",
) -> ModelParts:
    """Build this rank's stages, split over tp, with values still to be set.

    `kernels` as `chosen_kernels`, `sequences_per_row` as `chosen_attention` returns them; `norm` and `linear` as in `training`.
    """
    tensor_parallel = TensorParallel(
        mesh["tp"],
        layout.sequence_parallel,
        compute_dtype,
        kernels,
        sequences_per_row,
        implementation("training.norm", norm, device.type),
        implementation("training.linear", linear, device.type),
    )
    stages = stages_of_rank(model.num_layers, layout, mesh["pp"].get_local_rank())
    with device:
        return build_parts(
            model, tensor_parallel, stages, Recompute(layout.recompute, layout.recompute_every)
        )


def distribute(
    parts: ModelParts,
    layout: ParallelConfig,
    mesh: DeviceMesh,
    *,
    compute_dtype: torch.dtype,
    sequence_length: int,
) -> Passes:
    """Shard the parts over the data-parallel ranks, in place, and return how they compute."""
    for part in parts.parts:
        shard_data_parallel(
            part,
            part.layers.values(),
            mesh,
            zero=layout.zero,
            compute_dtype=compute_dtype,
            split_backward=layout.splits_backward,
        )
    if layout.pipeline_parallel == 1:
        return WholePasses(parts, layout.zero)
    tp = mesh["tp"].size() if layout.sequence_parallel else 1
    width = parts.parts[0].hidden_size
    hidden = torch.empty(sequence_length // tp, 1, width, dtype=compute_dtype, device="meta")
    return PipelinePasses(parts, layout, mesh, hidden)
