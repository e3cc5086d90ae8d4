"""What a run says about itself before its first step."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
import yaml

from megatron_bio.config.costs import parameter_count
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.stages import describe_stages
from megatron_bio.kernels.choice import NORMS, OPERATIONS, obstacle
from megatron_bio.parallel.mesh import MeshShape
from megatron_bio.training.computation import AttentionChoice


def write_config(config: PretrainConfig, output: Path) -> None:
    """Write the resolved configuration, which `--config` takes again."""
    text = yaml.safe_dump(_plain(asdict(config)), sort_keys=False)
    (output / "config.yaml").write_text(text, encoding="utf-8")


def layout_lines(config: PretrainConfig, shape: MeshShape, device: torch.device) -> Iterator[str]:
    """Say what the model is, how ranks are dealt, and where the stages of a pipeline are."""
    parameters = sum(parameter_count(config.model).values())
    sequence_parallel = config.parallel.sequence_parallel and shape.tp > 1
    yield (
        f"{config.model.architecture}: {parameters:,} parameters (heads and padded vocabulary rows included), "
        f"{config.training.precision}, {device.type}; ranks: {shape.ranks} = pipeline_parallel {shape.pp} x data_parallel "
        f"{shape.data_parallel_size} ({shape.dp_shard} share, zero {config.parallel.zero}) x tensor_parallel {shape.tp} "
        f"(sequence_parallel {str(sequence_parallel).lower()}), recompute {config.parallel.recompute}"
    )
    if shape.pp > 1:
        yield f"pipeline, {config.parallel.pipeline_schedule}:"
        yield from (f"  {line}" for line in describe_stages(config.model.num_layers, config.parallel))


def kernel_lines(
    option: str, kernels: frozenset[str], device: torch.device, tensor_parallel: int, norm: str = "torch"
) -> Iterator[str]:
    """Say on a CUDA device which operations run as CUDA kernels, and of the others that they do not."""
    if device.type != "cuda":
        return
    # See models.embeddings.
    split = kernels & {"embedding_sum"} if tensor_parallel > 1 else frozenset()
    elsewhere = NORMS if norm != "torch" else frozenset()
    others = ", ".join(sorted(set(OPERATIONS) - kernels - elsewhere))
    if others:
        why = obstacle(device.type) or "docs/kernels.md says why"
        yield f"kernels {option}: without their CUDA kernels run {others} ({why})"
    if split:
        yield (
            f"kernels {option}: on torch's own operations runs embedding_sum too, because tensor_parallel {tensor_parallel} "
            "splits the word table, and the sum over ranks lies between the words and the rest"
        )
    if kernels - split:
        yield f"kernels {option}: as CUDA kernels run {', '.join(sorted(kernels - split))}"


def attention_line(config: PretrainConfig, choice: AttentionChoice) -> str:
    """Say how attention is computed, and why not by the variable-length kernel."""
    option, dropout = config.training.attention, config.model.attention_dropout
    if choice.sequences_per_row:
        return (
            f"attention {option}: variable-length flash attention of torch, with room for {choice.sequences_per_row} "
            f"sequences in a row"
        )
    way = f"explicit softmax with dropout {dropout:g}" if dropout else "torch's scaled_dot_product_attention"
    return f"attention {option}: {way}, whole rows under a mask (variable length: {choice.why_not})"


def data_lines(report: Mapping[str, object]) -> Iterator[str]:
    """Say what was found in the token data."""
    for name, part in report.items():
        yield f"{name}: {_counts(part)}"


def _counts(part: object) -> str:
    if isinstance(part, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_counts(value)}" for name, value in part.items())
    return f"{part:,}" if isinstance(part, int) else str(part)


def _plain(value: object) -> object:
    """Turn tuples into lists, which YAML has."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value
