"""From options to the settings of each run."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from megatron_bio.config.evaluate import EvaluateOptions
from megatron_bio.downstream.tasks.form import Settings

GRID = {"learning_rate": "learning_rates", "epochs": "epochs", "batch_size": "batch_sizes"}
"""Setting to the option with the values to try."""
_ALSO = (
    *("max_length", "warmup_fraction", "weight_decay", "head_layers", "head_size", "head_dropout"),
    *("stride", "label_pieces", "relation_form", "imbalance"),
)
_OF_FIRST_TASK_TOO = ("max_length", "stride", "head_layers", "head_size", "head_dropout")
NONE = "none"


def first_settings(defaults: Settings, options: EvaluateOptions) -> Settings:
    """The settings of a first task: its own, but for rows that the model can read and a head that the next task can take over."""
    given = {
        name: getattr(options, name) for name in _OF_FIRST_TASK_TOO if getattr(options, name) is not None
    }
    return replace(defaults, **given, first_task="")


def tried_values(defaults: Settings, options: EvaluateOptions) -> dict[str, list[Any]]:
    """Per setting of the grid the values to try, the task's own where the options have none."""
    return {name: list(getattr(options, flag)) or [getattr(defaults, name)] for name, flag in GRID.items()}


def all_settings(defaults: Settings, options: EvaluateOptions) -> Iterator[Settings]:
    """The settings of every point of the grid."""
    given = {name: getattr(options, name) for name in _ALSO if getattr(options, name) is not None}
    if options.first_task is not None:
        given["first_task"] = "" if options.first_task == NONE else options.first_task
    tried = tried_values(defaults, options)
    for values in product(*tried.values()):
        yield replace(defaults, **given, **dict(zip(tried, values, strict=True)))
