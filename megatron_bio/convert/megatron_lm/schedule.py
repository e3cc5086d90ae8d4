"""The state of Megatron-LM's learning-rate schedule, without which it does not load an optimizer.

`lr_scheduler` counts in iterations in v1.x and in samples after it; later versions call it `opt_param_scheduler` and take either.
Source: Megatron-LM, learning_rates.py of v1.0, v2.0 and v2.5, optimizer_param_scheduler.py, and checkpointing.py of these.
"""

from collections.abc import Mapping
from typing import Any

from megatron_bio.config.training import OptimizerConfig

_STYLES = {"inverse_sqrt": "inverse-square-root"}


_COUNTED_IN_SAMPLES_SINCE = 2


def schedule_entries(training: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Return the entries of a file of the checkpoint version; none if the schedule is not known.

    Megatron-LM takes the values with `--use-checkpoint-opt_param-scheduler` (before: `--use-checkpoint-lr-scheduler`), and with
    `--override-…` only how far it went.
    """
    config = training.get("config", {})
    if not isinstance(config.get("optimizer"), dict) or not isinstance(config.get("training"), dict):
        return {}
    try:
        optimizer = OptimizerConfig(**config["optimizer"])
        steps, batch = config["training"]["train_steps"], config["training"]["global_batch_size"]
    except (KeyError, TypeError):  # of a version with other options
        return {}
    if version < _COUNTED_IN_SAMPLES_SINCE:
        return {"lr_scheduler": _in_iterations(optimizer, steps, training.get("samples", 0) // batch)}
    state = _in_samples(optimizer, steps, batch) | {"num_steps": training.get("samples", 0)}
    old = {name: state[f"lr_{name}"] for name in ("warmup_steps", "decay_steps", "decay_style")}
    return {"lr_scheduler": state | old, "opt_param_scheduler": state}


def _in_iterations(optimizer: OptimizerConfig, steps: int, done: int) -> dict[str, Any]:
    return {
        "start_lr": optimizer.lr,
        "min_lr": optimizer.min_lr,
        "warmup_iter": optimizer.warmup_of(steps),
        "end_iter": optimizer.decay_steps or steps,
        "decay_style": _style(optimizer),
        "num_iters": done,
    }


def _in_samples(optimizer: OptimizerConfig, steps: int, batch: int) -> dict[str, Any]:
    return {
        "max_lr": optimizer.lr,
        "min_lr": optimizer.min_lr,
        "lr_warmup_steps": optimizer.warmup_of(steps) * batch,
        "lr_decay_steps": (optimizer.decay_steps or steps) * batch,
        "lr_decay_style": _style(optimizer),
        "start_wd": optimizer.weight_decay,
        "end_wd": optimizer.weight_decay,
        "wd_incr_style": "constant",
        "wd_incr_steps": steps * batch,
    }


def _style(optimizer: OptimizerConfig) -> str:
    return _STYLES.get(optimizer.lr_schedule, optimizer.lr_schedule)
