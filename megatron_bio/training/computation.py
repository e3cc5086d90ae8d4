"""From the options of a run to what computes its model on a device."""

from dataclasses import dataclass

import torch

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.kernels.choice import NORMS, chosen
from megatron_bio.kernels.variable_length import obstacle_of_machine, obstacle_of_model
from megatron_bio.parallel.computation import Computation
from megatron_bio.parallel.implementations.registry import implementation
from megatron_bio.parallel.layers import COMPUTE_DTYPES


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


def check_implementations(config: PretrainConfig, device: torch.device) -> None:
    """Refuse a run that names an implementation which cannot run, before anything is read."""
    for option, name in chosen_implementations(config).items():
        implementation(option, name, device.type)


def chosen_computation(
    config: PretrainConfig, device: torch.device, kernels: frozenset[str], attention: AttentionChoice
) -> Computation:
    """Return what `build_model_parts` takes, from `chosen_kernels` and `chosen_attention`."""
    return Computation(
        kernels,
        attention.sequences_per_row,
        implementation("training.norm", config.training.norm, device.type),
        implementation("training.linear", config.training.linear, device.type),
    )
