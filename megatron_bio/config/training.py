"""Optimizer, schedule, length, logging and checkpoints of a run."""

import math
from dataclasses import dataclass
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

_LARGEST_LOSS_SCALE = 2.0**64


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW, its learning-rate schedule and, for fp16, the scale of the loss."""

    name: Literal["adamw", "decoupled_adamw"] = "adamw"
    """adamw multiplies a weight by 1 - lr * weight_decay in a step; decoupled_adamw (Composer's DecoupledAdamW) by
    1 - lr / peak lr * weight_decay, so that its weight_decay is about the peak lr times smaller for the same decay."""
    implementation: str = "foreach"
    """What computes the step. foreach and fused are torch's: one kernel per operation over all parameters, or one for all; apex is
    its FusedAdam (experimental); MODULE:NAME is an own one (docs/implementations.md)."""
    lr: float = 1e-4
    """Peak learning rate."""
    min_lr: float = 0.0
    """Learning rate at the end of the decay, and the least that inverse_sqrt falls to."""
    lr_schedule: Literal["linear", "cosine", "inverse_sqrt", "constant"] = "linear"
    """Form of the decay after the warmup; inverse_sqrt is lr * sqrt(warmup / step)."""
    decay_steps: int | None = None
    """Step at which linear and cosine reach min_lr, to stay there; when not given, train_steps."""
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
    """Decoupled weight decay; see name for what it is multiplied by."""
    decay_bias_and_norm: bool = False
    """Decay biases and layer norms too, as Composer's recipes (BioMedLM) do; Megatron's and BERT's do not."""
    clip_grad: float = 1.0
    """Largest global gradient norm; 0 switches clipping off."""
    initial_loss_scale: float = 2.0**32
    """With fp16: what the loss is multiplied by at first, a power of 2. Too large a scale costs a few skipped steps at
    the start and too small a one the smallest gradients."""
    loss_scale_window: int = 1000
    """With fp16: after so many steps in a row without overflow the scale is doubled."""
    loss_scale_hysteresis: int = 2
    """With fp16: overflows that it takes to halve the scale, counted since it was last doubled."""

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
        if self.name == "decoupled_adamw" and not self.weight_decay < 1.0:
            raise ConfigurationError(
                f"optimizer.weight_decay: decoupled_adamw multiplies a weight by 1 - weight_decay at the peak learning rate, "
                f"so it must be below 1; found {self.weight_decay}. A decay of adamw corresponds to it times lr."
            )
        self._check_decay()
        self._check_loss_scale()

    def _check_decay(self) -> None:
        if self.decay_steps is None:
            return
        if self.decay_steps < 1:
            raise ConfigurationError(f"optimizer.decay_steps: expected at least 1, found {self.decay_steps}.")
        if self.lr_schedule not in ("linear", "cosine"):
            raise ConfigurationError(
                f"optimizer.decay_steps {self.decay_steps} has no meaning with optimizer.lr_schedule {self.lr_schedule}, "
                f"which has no end; leave it out or choose linear or cosine."
            )

    def _check_loss_scale(self) -> None:
        scale = self.initial_loss_scale
        if not 1.0 <= scale <= _LARGEST_LOSS_SCALE or math.frexp(scale)[0] != 0.5:
            raise ConfigurationError(
                f"optimizer.initial_loss_scale: expected a power of 2 from 1 to 2**64, found {scale}; other numbers would "
                f"round the gradients."
            )
        for name in ("loss_scale_window", "loss_scale_hysteresis"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"optimizer.{name}: expected at least 1, found {getattr(self, name)}."
                )

    def warmup_of(self, train_steps: int) -> int:
        """Return the steps of the warmup in a run of `train_steps`."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return round(self.warmup_fraction * train_steps)

    def check_schedule(self, train_steps: int) -> None:
        """Refuse a decay that ends before the warmup does."""
        warmup = self.warmup_of(train_steps)
        if self.decay_steps is not None and self.decay_steps < warmup:
            how = (
                ""
                if self.warmup_steps is not None
                else f" (warmup_fraction {self.warmup_fraction} of train_steps)"
            )
            raise ConfigurationError(
                f"optimizer.decay_steps {self.decay_steps} is before the end of the warmup at step {warmup}{how}; the decay "
                f"starts there. Raise decay_steps or shorten the warmup."
            )


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
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """bf16 and fp16 compute in 16 bits with float32 weights, gradient reductions and optimizer state; fp16 needs the loss
    scale (optimizer.initial_loss_scale) and is for GPUs without bfloat16."""
    max_skipped_steps: int = 10
    """A step whose gradients are not finite is skipped; after so many in a row the run ends with a diagnosis. With fp16
    an overflow that lowers the loss scale does not count."""
    seed: int = 1234
    """Seed of initial weights and dropout; data.seed is that of order and masking."""
    initial_checkpoint: str | None = None
    """Checkpoint, or folder of a run, whose weights the run starts with instead of random ones; optimizer, schedule and
    data start afresh. Not read any more when training.output has a checkpoint of its own."""
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
    """Newest complete checkpoints that stay on disk, those of keep_every not counted."""
    keep_every: int = 0
    """Checkpoints of steps that are a multiple of this stay for good; 0 keeps none for good."""
    asynchronous_checkpoints: bool = False
    """Copy the state to host memory and write it while training goes on; takes that much host memory."""
    watchdog: bool = True
    """End a process that has finished no step for parallel.timeout_minutes, and show where it stands."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes CUDA devices where there are any."""
    compile: bool = False
    """Compile the layers with torch.compile: faster on GPUs after a slow first step."""
    kernels: Literal["auto", "reference", "cuda"] = "auto"
    """What computes layer norms, activations, dropout, softmax and losses. reference: torch's operations; cuda: the compiled
    kernels, which need a CUDA device; auto: those kernels that were measured to be faster (docs/kernels.md)."""
    attention: Literal["auto", "mask", "variable_length"] = "auto"
    """How attention keeps the samples of a row apart. mask: whole rows are computed and a mask hides other samples;
    variable_length: only what is inside samples is computed, by torch's kernel for CUDA devices, in bf16 or fp16 and without
    attention dropout; auto: variable_length where it can run."""
    norm: str = "torch"
    """What computes layer norms. torch: as training.kernels says; apex and transformer_engine: the fused ones of these libraries
    (experimental); MODULE:NAME: an own function (docs/implementations.md)."""
    linear: str = "torch"
    """What multiplies with the matrices of attention and MLP. torch: in training.precision; transformer_engine: in FP8 with
    current scaling (experimental); MODULE:NAME: an own function (docs/implementations.md)."""
    deterministic: bool = False
    """Use only operations that give the same bits every time, and fail where there is none; slower on GPUs."""
    profile_steps: tuple[int, int] | None = None
    """First and last step, counted from 1, to record with torch.profiler: a trace and a table of the largest costs in
    OUTPUT/profile/."""
    profile_all_ranks: bool = False
    """Record every rank and not the first only."""
    wandb_project: str | None = None
    """Send the log to this project of Weights & Biases too; needs the package wandb."""
    peak_tflops: float | None = None
    """Dense peak of one device in TFLOP/s, to which model FLOPs utilisation relates; when not given, the known one of the
    device at this precision."""

    def __post_init__(self) -> None:
        """Refuse impossible lengths and intervals."""
        if not self.output:
            raise ConfigurationError("training.output: expected a folder for the run, found nothing.")
        if self.initial_checkpoint == "":
            raise ConfigurationError(
                "training.initial_checkpoint: expected a checkpoint or a run's folder, found nothing; leave it out to start "
                "with random weights."
            )
        for name in (
            "train_steps",
            "global_batch_size",
            "micro_batch_size",
            "log_interval",
            "checkpoint_interval",
            "max_skipped_steps",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"training.{name}: expected at least 1, found {getattr(self, name)}."
                )
        for name in ("evaluation_interval", "evaluation_rows", "keep_every"):
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
        if self.profile_steps is not None and not 1 <= self.profile_steps[0] <= self.profile_steps[1]:
            raise ConfigurationError(
                f"training.profile_steps: expected two steps FIRST LAST with 1 <= FIRST <= LAST, found "
                f"{' '.join(map(str, self.profile_steps))}."
            )
        if self.profile_steps is not None and self.profile_steps[0] > self.train_steps:
            raise ConfigurationError(
                f"training.profile_steps: the run ends with step {self.train_steps} (training.train_steps), before the first "
                f"step to record, {self.profile_steps[0]}."
            )
        if self.profile_all_ranks and self.profile_steps is None:
            raise ConfigurationError(
                "training.profile_all_ranks: it needs training.profile_steps, which says what to record."
            )
        if self.wandb_project == "":
            raise ConfigurationError("training.wandb_project: expected a name, found nothing.")
        if self.peak_tflops is not None and not 0.0 < self.peak_tflops < float("inf"):
            raise ConfigurationError(
                f"training.peak_tflops: expected a number above 0, found {self.peak_tflops}."
            )
