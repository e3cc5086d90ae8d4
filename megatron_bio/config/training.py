"""Optimizer, schedule, length, logging and checkpoints of a run."""

from dataclasses import dataclass
from typing import Literal

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW and its learning-rate schedule."""

    lr: float = 1e-4
    """Peak learning rate."""
    min_lr: float = 0.0
    """Learning rate at the end of the decay."""
    lr_schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Form of the decay after the warmup."""
    warmup_fraction: float = 0.01
    """Part of train_steps over which the learning rate rises linearly from 0."""
    warmup_steps: int | None = None
    """The same in steps; given, it stands instead of warmup_fraction."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.01
    """Decoupled weight decay, multiplied by the learning rate; biases and layer norms have none."""
    clip_grad: float = 1.0
    """Largest global gradient norm; 0 switches clipping off."""

    def __post_init__(self) -> None:
        """Refuse impossible hyperparameters."""
        if not 0.0 < self.lr < float("inf"):
            raise ConfigurationError(f"optimizer.lr: expected a number above 0, found {self.lr}.")
        if not 0.0 <= self.min_lr <= self.lr:
            raise ConfigurationError(
                f"optimizer.min_lr: expected 0 <= min_lr <= lr, found {self.min_lr} and {self.lr}."
            )
        if not 0.0 <= self.warmup_fraction <= 1.0:
            raise ConfigurationError(
                f"optimizer.warmup_fraction: expected 0 to 1, found {self.warmup_fraction}."
            )
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ConfigurationError(
                f"optimizer.warmup_steps: expected 0 or more, found {self.warmup_steps}."
            )
        for name in ("beta1", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(
                    f"optimizer.{name}: expected 0 <= beta < 1, found {getattr(self, name)}."
                )
        for name in ("weight_decay", "clip_grad"):
            if not getattr(self, name) >= 0.0:  # so written that NaN is refused too
                raise ConfigurationError(
                    f"optimizer.{name}: expected 0 or more, found {getattr(self, name)}."
                )
        if not self.epsilon > 0.0:
            raise ConfigurationError(f"optimizer.epsilon: expected more than 0, found {self.epsilon}.")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Length, batch, precision, evaluation and output of a run."""

    output: str
    """Folder of the run: checkpoints/, log.jsonl, tensorboard/ and config.yaml."""
    train_steps: int
    """Optimizer steps of the whole run; the learning-rate schedule ends here."""
    global_batch_size: int = 64
    """Rows per optimizer step over all ranks."""
    micro_batch_size: int = 8
    """Rows that one rank computes at once; must divide global_batch_size / data-parallel size."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """bf16 computes in bfloat16 with float32 weights, gradient reductions and optimizer state."""
    seed: int = 1234
    """Seed of initial weights and dropout; data.seed is that of order and masking."""
    stop_at_step: int | None = None
    """End this process after the given step, with a checkpoint; the same command without it continues."""
    log_interval: int = 10
    """Steps between log lines."""
    evaluation_interval: int = 100
    """Steps between evaluations on the validation documents; 0 evaluates at the end only."""
    evaluation_rows: int = 512
    """Rows of the validation documents that an evaluation reads at most; 0 reads all."""
    checkpoint_interval: int = 100
    """Steps between checkpoints; one more is written when the run ends or is interrupted."""
    keep_checkpoints: int = 2
    """Newest complete checkpoints that stay on disk."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes CUDA devices where there are any."""

    def __post_init__(self) -> None:
        """Refuse impossible lengths and intervals."""
        if not self.output:
            raise ConfigurationError("training.output: expected a folder for the run, found nothing.")
        for name in (
            "train_steps",
            "global_batch_size",
            "micro_batch_size",
            "log_interval",
            "checkpoint_interval",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"training.{name}: expected at least 1, found {getattr(self, name)}."
                )
        for name in ("evaluation_interval", "evaluation_rows"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"training.{name}: expected 0 or more, found {getattr(self, name)}.")
        if self.keep_checkpoints < 1:
            raise ConfigurationError(
                f"training.keep_checkpoints: expected at least 1, found {self.keep_checkpoints}."
            )
        if self.stop_at_step is not None and self.stop_at_step < 1:
            raise ConfigurationError(
                f"training.stop_at_step: expected at least 1, found {self.stop_at_step}."
            )
