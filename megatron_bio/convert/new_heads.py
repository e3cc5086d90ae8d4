"""A masked-LM head for a checkpoint that has none: refused, or drawn as training would."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from megatron_bio.config.training import TrainingConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import empty_model
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.parallel.parameters import initial_value

_HEAD = "masked_lm_head."


def missing_weights(checkpoint: Checkpoint) -> list[str]:
    """Return the parameters of the model that the checkpoint does not have."""
    found = checkpoint.weights.described()
    return [name for name, _ in empty_model(checkpoint.model).named_parameters() if name not in found]


def with_new_heads(checkpoint: Checkpoint, allowed: bool) -> tuple[Checkpoint, str]:
    """Return the checkpoint with all parameters of its model, and a sentence on what was made new.

    Raises `ConvertError` for missing ones, unless they are of the masked-LM head and `allowed`.
    """
    missing = missing_weights(checkpoint)
    if not missing:
        return checkpoint, ""
    others = [name for name in missing if not name.startswith(_HEAD)]
    if others:
        raise ConvertError(
            f"{checkpoint.path}: parameters of the model are missing: {', '.join(others[:6])}. Is the download complete?"
        )
    if not allowed:
        raise ConvertError(
            f"{checkpoint.path}: it has no masked-LM head, which our bert has ({', '.join(missing)}). Give --new_heads true to "
            f"have one drawn at random, which has to be trained before it predicts anything."
        )
    seed = TrainingConfig.seed
    weights = _WithNewTensors(checkpoint, missing, seed)
    told = f"The masked-LM head is new: {', '.join(missing)} were drawn as training with seed {seed} would. Train it before use."
    return replace(checkpoint, weights=weights), told


class _WithNewTensors(TensorSource):
    """The weights of a checkpoint and, after them, new ones."""

    def __init__(self, checkpoint: Checkpoint, names: list[str], seed: int) -> None:
        self._source, self._seed = checkpoint.weights, seed
        parameters = dict(empty_model(checkpoint.model).named_parameters())
        self._new = {name: parameters[name] for name in names}

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes; new tensors have the dtype of the others."""
        found = dict(self._source.described())
        dtype = next(iter(found.values())).dtype
        new = {
            name: torch.empty(tuple(value.shape), dtype=dtype, device="meta")
            for name, value in self._new.items()
        }
        return found | new

    def read(self, name: str) -> Tensor:
        """Return a stored tensor, or draw a new one, always the same."""
        if name not in self._new:
            return self._source.read(name)
        return initial_value(name, self._new[name], self._seed).to(self.described()[name].dtype)
