"""Starting a run with the weights of another run's checkpoint, a fresh optimizer and a fresh schedule."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import load_checkpoint, read_info
from megatron_bio.checkpoint.manifest import CheckpointError
from megatron_bio.config.model import ModelConfig, stored_model_options
from megatron_bio.config.pretrain import PretrainConfig

_MEANING_OF_WEIGHTS = (
    "architecture",
    "num_layers",
    "hidden_size",
    "num_attention_heads",
    "ffn_size",
    "max_position_embeddings",
    "vocab_size",
    "activation_name",
    "layernorm_epsilon",
    "norm_order",
    "order_head",
    "scale_attention_by_inverse_layer",
)
"""What must be equal for the same weights to be the same function; equal shapes are not enough (heads, activation)."""


def load_initial_weights(
    config: PretrainConfig, weights: dict[str, Tensor], fingerprints: dict[str, str]
) -> Path:
    """Fill `weights`, the model's tensors by their name in a checkpoint, from `training.initial_checkpoint`.

    All ranks call it; the checkpoint may be of any layout. Returns the checkpoint's folder. Raises `CheckpointError` when
    it is missing, damaged, of a model of another shape, or was trained with another vocabulary.
    """
    assert config.training.initial_checkpoint is not None
    try:
        folder = resolve_checkpoint(Path(config.training.initial_checkpoint))
        _check(folder, read_info(folder), config, fingerprints)
        load_checkpoint(folder, weights)
    except CheckpointError as error:
        raise CheckpointError(f"training.initial_checkpoint: {error}") from error
    return folder


def _check(folder: Path, info: dict[str, Any], config: PretrainConfig, fingerprints: dict[str, str]) -> None:
    before = info.get("config", {}).get("model") if isinstance(info.get("config"), dict) else None
    if not isinstance(before, dict):
        raise CheckpointError(
            f"{folder}: expected info.json with the configuration of a model; found another content. The checkpoint is "
            f"damaged; give another one."
        )
    known = {field.name for field in fields(ModelConfig)}
    before = stored_model_options(before)
    theirs = ModelConfig(**{name: value for name, value in before.items() if name in known})
    changed = [
        f"model.{name.removesuffix('_name')}: the checkpoint has {getattr(theirs, name)}, this run {getattr(config.model, name)}"
        for name in _MEANING_OF_WEIGHTS
        if getattr(theirs, name) != getattr(config.model, name)
    ]
    if changed:
        raise CheckpointError(
            f"{folder}: its weights are of another model: {'; '.join(changed)}. Give the model's options as that run had "
            f"them, or a checkpoint of this model."
        )
    name = "tokenizer_fingerprint"
    if info.get(name) != fingerprints[name]:
        raise CheckpointError(
            f"{folder}: its weights were trained with another tokenizer than {config.data.tokenizer} (fingerprint "
            f"{info.get(name)}, found {fingerprints[name]}), so each row of its word embeddings would stand for another "
            f"token. Preprocess the text with the tokenizer of that run and give it as data.tokenizer."
        )
