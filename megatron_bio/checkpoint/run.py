"""What a checkpoint tells about the run that wrote it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.checkpoint.manifest import CheckpointError
from megatron_bio.config.data import DataConfig
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import OptimizerConfig, TrainingConfig

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
    def tokenizer(self) -> Path:
        """Where the run had its tokenizer."""
        return Path(self.config.data.tokenizer)

    @property
    def model(self) -> ModelConfig:
        """Shape of the model."""
        return self.config.model


def read_run(checkpoint: Path) -> Run:
    """Find the checkpoint that a user means and read its info.json; raises `UserError` if there is none or it is of no use."""
    folder = resolve_checkpoint(checkpoint)
    info = read_info(folder)
    if info.get("format") != _FORMAT:
        raise CheckpointError(
            f"{folder}: expected a checkpoint of format {_FORMAT}, found {info.get('format')}; "
            f"use the version of megatron-bio that wrote it."
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
        raise CheckpointError(
            f"{folder / 'info.json'}: expected the progress and configuration of a pretraining run; found: {error}. "
            f"Was it written by another version of megatron-bio?"
        ) from error


def _config(stored: dict[str, dict[str, Any]]) -> PretrainConfig:
    return PretrainConfig(
        model=ModelConfig(**stored["model"]),
        data=DataConfig(**stored["data"]),
        parallel=ParallelConfig(**stored["parallel"]),
        optimizer=OptimizerConfig(**stored["optimizer"]),
        training=TrainingConfig(**stored["training"]),
    )
