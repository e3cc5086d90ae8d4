"""From a configuration and a mesh to the parts of the model that this rank holds, ready to compute."""

import torch
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import stages_of_rank
from megatron_bio.models.parts import ModelParts, build_parts
from megatron_bio.models.recompute import Recompute
from megatron_bio.parallel.computation import TORCH, Computation
from megatron_bio.parallel.data_parallel import shard_data_parallel
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.training.passes import Passes, PipelinePasses, WholePasses


def build_model_parts(
    model: ModelConfig,
    layout: ParallelConfig,
    mesh: DeviceMesh,
    device: torch.device,
    compute_dtype: torch.dtype,
    computation: Computation = TORCH,
) -> ModelParts:
    """Build this rank's stages, split over tp, with values still to be set."""
    tensor_parallel = TensorParallel(mesh["tp"], layout.sequence_parallel, compute_dtype, computation)
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
