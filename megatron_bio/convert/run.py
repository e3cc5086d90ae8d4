"""The weights of a checkpoint as a model of one process."""

import torch

from megatron_bio.checkpoint.load import load_checkpoint
from megatron_bio.checkpoint.run import Run
from megatron_bio.models.bert import Bert
from megatron_bio.models.build import build_model
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh


def load_model(run: Run, compute_dtype: torch.dtype = torch.float32) -> Bert | Gpt:
    """Return the model of one process on the CPU, with the checkpoint's weights in float32."""
    mesh = single_process_mesh("cpu")
    layout = TensorParallel(mesh["tp"], sequence_parallel=False, compute_dtype=compute_dtype)
    model = build_model(run.model, layout)
    load_checkpoint(run.folder, {f"model.{name}": value.detach() for name, value in model.named_parameters()})
    return model.eval()
