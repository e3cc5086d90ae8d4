"""What a checkpoint tells about the run that wrote it, and its weights as a model of one process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import load_checkpoint, read_info
from megatron_bio.config.data import DataConfig
from megatron_bio.config.model import ModelConfig, stored_model_options
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import OptimizerConfig, TrainingConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.models.bert import Bert
from megatron_bio.models.build import build_model
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh

_FORMAT = 1


@dataclass(frozen=True)
class Run:
    """A checkpoint's folder and what its info.json says."""

    folder: Path
    config: PretrainConfig
    step: int
    samples: int
    tokens: int
    """Real tokens seen, over all epochs."""
    tokenizer_fingerprint: str

    @property
    def model(self) -> ModelConfig:
        """Shape of the model."""
        return self.config.model


def read_run(checkpoint: Path) -> Run:
    """Find the checkpoint that a user means and read its info.json; raises `UserError` if there is none or it is of no use."""
    folder = resolve_checkpoint(checkpoint)
    info = read_info(folder)
    if info.get("format") != _FORMAT:
        raise ConvertError(
            f"{folder}: expected a checkpoint of format {_FORMAT}, found {info.get('format')}; "
            f"convert it with the version of megatron-bio that wrote it."
        )
    try:
        return Run(
            folder=folder,
            config=_config(info["config"]),
            step=info["step"],
            samples=info["samples"],
            tokens=info["tokens"],
            tokenizer_fingerprint=info["tokenizer_fingerprint"],
        )
    except (KeyError, TypeError) as error:
        raise ConvertError(
            f"{folder / 'info.json'}: expected the progress and configuration of a pretraining run; found: {error}. "
            f"Was it written by another version of megatron-bio?"
        ) from error


def _config(stored: dict[str, dict[str, Any]]) -> PretrainConfig:
    return PretrainConfig(
        model=ModelConfig(**stored_model_options(stored["model"])),
        data=DataConfig(**stored["data"]),
        parallel=ParallelConfig(**stored["parallel"]),
        optimizer=OptimizerConfig(**stored["optimizer"]),
        training=TrainingConfig(**stored["training"]),
    )


def load_model(run: Run, compute_dtype: torch.dtype = torch.float32) -> Bert | Gpt:
    """Return the model of one process on the CPU, with the checkpoint's weights in float32."""
    mesh = single_process_mesh("cpu")
    layout = TensorParallel(mesh["tp"], sequence_parallel=False, compute_dtype=compute_dtype)
    model = build_model(run.model, layout)
    load_checkpoint(run.folder, {f"model.{name}": value.detach() for name, value in model.named_parameters()})
    return model.eval()
