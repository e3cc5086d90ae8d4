"""The state of Megatron-LM's learning-rate schedule, without which it does not load an optimizer.

It counts in samples. Source: Megatron-LM, optimizer_param_scheduler.py, `state_dict`.
"""

from collections.abc import Mapping
from typing import Any

from megatron_bio.config.training import OptimizerConfig

_STYLES = {"inverse_sqrt": "inverse-square-root"}


def schedule_state(training: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return `opt_param_scheduler` for what is known of a training; None if its schedule is not known.

    Megatron-LM takes the values with `--use-checkpoint-opt_param-scheduler`, and with `--override-opt_param-scheduler` only how far
    it went.
    """
    config = training.get("config", {})
    if not isinstance(config.get("optimizer"), dict) or not isinstance(config.get("training"), dict):
        return None
    try:
        optimizer = OptimizerConfig(**config["optimizer"])
        steps, batch = config["training"]["train_steps"], config["training"]["global_batch_size"]
    except (KeyError, TypeError):  # of a version with other options
        return None
    decay = optimizer.weight_decay
    return {
        "max_lr": optimizer.lr,
        "min_lr": optimizer.min_lr,
        "lr_warmup_steps": optimizer.warmup_of(steps) * batch,
        "lr_decay_steps": (optimizer.decay_steps or steps) * batch,
        "lr_decay_style": _STYLES.get(optimizer.lr_schedule, optimizer.lr_schedule),
        "num_steps": training.get("samples", 0),
        "start_wd": decay,
        "end_wd": decay,
        "wd_incr_style": "constant",
        "wd_incr_steps": steps * batch,
    }
