"""What a run puts into a checkpoint and takes out of it again."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_bio.checkpoint.load import load_checkpoint, read_info
from megatron_bio.checkpoint.manifest import IMPORTED_FROM, CheckpointError
from megatron_bio.config.pretrain import PretrainConfig, differences_on_resume
from megatron_bio.models.parts import ModelParts
from megatron_bio.parallel.tied import copy_tied_values
from megatron_bio.training.loss_scale import LossScale
from megatron_bio.training.optimizer import moments, optimizer_tensors, set_optimizer_step

FORMAT = 1


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    """Global batches read, which is what the learning rate follows."""
    samples: int = 0
    tokens: int = 0
    """Real tokens of the samples."""
    optimizer_steps: int = 0
    """Steps made; the others were skipped because their gradients were not finite. AdamW's bias correction counts these."""
    skipped_in_a_row: int = 0
    """Steps skipped since the last one made, without those that the loss scale explains."""

    @property
    def skipped_steps(self) -> int:
        """Steps that were not made."""
        return self.step - self.optimizer_steps

    def count(self, made: bool, explained: bool, samples: int, tokens: int) -> None:
        """Take note of one step; `explained` says that the loss scale is why it was not made."""
        self.step += 1
        self.samples += samples
        self.tokens += tokens
        self.optimizer_steps += made
        if made or not explained:
            self.skipped_in_a_row = 0 if made else self.skipped_in_a_row + 1


def model_tensors(model: ModelParts) -> dict[str, Tensor]:
    """Return the weights by their name in the checkpoint."""
    return {f"model.{name}": parameter.detach() for name, parameter in model.named_parameters()}


def run_tensors(model: ModelParts, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return every tensor of a run by its name in the checkpoint."""
    moments = optimizer_tensors(model, optimizer)
    return model_tensors(model) | {f"optimizer.{name}": moment for name, moment in moments.items()}


def run_info(
    config: PretrainConfig, progress: Progress, loss_scale: LossScale, fingerprints: dict[str, str]
) -> dict[str, Any]:
    """Return what a checkpoint says besides tensors."""
    scale = {"loss_scale": loss_scale.state()} if loss_scale.dynamic else {}
    return {"format": FORMAT, **asdict(progress), **scale, "config": asdict(config), **fingerprints}


def restore(
    folder: Path,
    config: PretrainConfig,
    model: ModelParts,
    optimizer: torch.optim.Optimizer,
    loss_scale: LossScale,
    fingerprints: dict[str, str],
) -> Progress:
    """Load a checkpoint into model, optimizer and loss scale at any layout; refuse one of another run."""
    info = read_info(folder)
    if IMPORTED_FROM in info:
        raise CheckpointError(
            f"{folder}: its weights were converted from another checkpoint; there is no run to go on with. Give the folder "
            f"as training.initial_checkpoint, and another training.output."
        )
    stored = info.get("config")
    # Checkpoints from before steps could be skipped do not have these two.
    counted = {"optimizer_steps": info.get("step"), "skipped_in_a_row": 0} | info
    if (
        not isinstance(stored, dict)
        or not all(isinstance(counted.get(f.name), int) for f in fields(Progress))
        or (loss_scale.dynamic and not isinstance(info.get("loss_scale"), dict))
    ):
        raise CheckpointError(
            f"{folder}: expected info.json with a configuration, step, samples, tokens and, for fp16, loss_scale; "
            f"found another content. The "
            f"checkpoint is damaged: remove this folder to go on from the one before."
        )
    changed = differences_on_resume(stored, config)
    changed += [
        f"{name}: the checkpoint has {info.get(name)}, this run has {value}"
        for name, value in fingerprints.items()
        if info.get(name) != value
    ]
    if changed:
        raise CheckpointError(
            f"{folder}: this checkpoint is of another run; continuing would change it silently. "
            + "; ".join(changed)
            + ". Give the old values (of packed_rows, the version that made the checkpoint), or another training.output to start "
            "anew; training.initial_checkpoint takes the weights along."
        )
    load_checkpoint(folder, run_tensors(model, optimizer))
    fill_second_copy(model, optimizer)
    set_optimizer_step(optimizer, counted["optimizer_steps"])
    if loss_scale.dynamic:
        loss_scale.load(info["loss_scale"])
    return Progress(**{f.name: counted[f.name] for f in fields(Progress)})


def fill_second_copy(model: ModelParts, optimizer: torch.optim.Optimizer) -> None:
    """Where one rank holds the word table twice, both under one name, only one of the two was loaded: copy it to the other."""
    table, copy = model.word_table, model.tied_copy
    if table is None or copy is None:
        return
    copy_tied_values(copy, table)
    for name, moment in moments(optimizer, copy).items():
        copy_tied_values(moment, moments(optimizer, table)[name])
