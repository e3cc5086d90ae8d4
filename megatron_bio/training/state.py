"""What a run puts into a checkpoint and takes out of it again."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_bio.checkpoint.load import load_checkpoint, read_info
from megatron_bio.checkpoint.manifest import CheckpointError
from megatron_bio.config.pretrain import PretrainConfig, differences_on_resume
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.tied import copy_tied_values
from megatron_bio.training.optimizer import moments, optimizer_tensors, set_optimizer_step

FORMAT = 1


@dataclass
class Progress:
    """How far a run is; all of it follows from the step but the tokens, which depend on the data."""

    step: int = 0
    samples: int = 0
    tokens: int = 0


def run_tensors(model: ModelParts, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """Return every tensor of a run by its name in the checkpoint."""
    tensors = {f"model.{name}": parameter.detach() for name, parameter in model.named_parameters()}
    moments = optimizer_tensors(model, optimizer)
    return tensors | {f"optimizer.{name}": moment for name, moment in moments.items()}


def run_info(config: PretrainConfig, progress: Progress, fingerprints: dict[str, str]) -> dict[str, Any]:
    """Return what a checkpoint says besides tensors."""
    return {"format": FORMAT, **asdict(progress), "config": asdict(config), **fingerprints}


def restore(
    folder: Path,
    config: PretrainConfig,
    model: ModelParts,
    optimizer: torch.optim.AdamW,
    fingerprints: dict[str, str],
) -> Progress:
    """Load a checkpoint into model and optimizer at any layout; refuse one of another run."""
    info = read_info(folder)
    stored = info.get("config")
    if not isinstance(stored, dict) or not all(isinstance(info.get(f.name), int) for f in fields(Progress)):
        raise CheckpointError(
            f"{folder}: expected info.json with a configuration, step, samples and tokens; found another content. The "
            f"checkpoint is damaged: remove this folder to go on from the one before."
        )
    changed = differences_on_resume(stored, config)
    changed += [
        f"{name}: the checkpoint has {info.get(name)}, the files given have {value}"
        for name, value in fingerprints.items()
        if info.get(name) != value
    ]
    if changed:
        raise CheckpointError(
            f"{folder}: this checkpoint is of another run; continuing would change it silently. "
            + "; ".join(changed)
            + ". Give the old values, or another training.output to start anew."
        )
    load_checkpoint(folder, run_tensors(model, optimizer))
    fill_second_copy(model, optimizer)
    set_optimizer_step(optimizer, info["step"])
    return Progress(step=info["step"], samples=info["samples"], tokens=info["tokens"])


def fill_second_copy(model: ModelParts, optimizer: torch.optim.AdamW) -> None:
    """Where one rank holds the word table twice, both under one name, only one of the two was loaded: copy it to the other."""
    table, copy = model.word_table, model.tied_copy
    if table is None or copy is None:
        return
    copy_tied_values(copy, table)
    for name, moment in moments(optimizer, copy).items():
        copy_tied_values(moment, moments(optimizer, table)[name])
