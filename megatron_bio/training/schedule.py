"""The learning rate as a pure function of the step."""

import math

from megatron_bio.config.training import OptimizerConfig


def learning_rate(step: int, train_steps: int, config: OptimizerConfig) -> float:
    """Return the learning rate of optimizer step `step`, counted from 1.

    It rises linearly over the warmup, reaches `lr` at its last step, and falls to `min_lr` at `train_steps`.
    """
    warmup = config.warmup_steps
    if warmup is None:
        warmup = round(config.warmup_fraction * train_steps)
    if step <= warmup:
        return config.lr * step / warmup
    if config.lr_schedule == "constant" or train_steps <= warmup:
        return config.lr
    done = min(1.0, (step - warmup) / (train_steps - warmup))
    left = 1.0 - done if config.lr_schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return config.min_lr + (config.lr - config.min_lr) * left
