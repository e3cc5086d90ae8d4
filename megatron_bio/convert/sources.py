"""What every format is read as: a model's shape, and its tensors under our names, one at a time.

A reader opens a checkpoint of its format as a `Checkpoint`; a writer takes a `Checkpoint` of whatever format. So each format
knows itself and ours, never another one, and no more than one tensor has to be in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from megatron_bio.config.model import ModelConfig


class TensorSource(Protocol):
    """Named tensors that are read one at a time and kept by nobody else."""

    def described(self) -> Mapping[str, Tensor]:
        """Return a tensor on the meta device for each name: its shape and its dtype as stored."""

    def read(self, name: str) -> Tensor:
        """Return one tensor, whole, on the CPU, as stored. Raises `ConvertError` if it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the user says of a checkpoint that does not say it itself."""

    num_attention_heads: int | None = None
    activation: str | None = None

    @property
    def anything(self) -> bool:
        """Whether it says anything."""
        return self != Told()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was recognised and whose tensors can be read."""

    format: str
    """megatron_bio, hugging_face, megatron_lm, megatron_core or nemo."""
    path: Path
    model: ModelConfig
    """Shape of the model; `vocab_size` is the number of real tokens."""
    weights: TensorSource
    """All parameters of `models.build.build_model(model)` under its names, vocabulary padded to a multiple of 128."""
    moments: TensorSource | None = None
    """Adam's moments, NAME.exp_avg and NAME.exp_avg_sq for each parameter, shaped like it; None if there are none."""
    step: int = 0
    """Optimizer steps done; 0 where the format does not say."""
    tokenizer: Path | None = None
    """Tokenizer that came with it: a folder, or a file of WordPiece's vocabulary."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the training, named as in info.json: config, samples, tokens, tokenizer_fingerprint, and
    imported_from for one that was converted to our format before; empty where the format does not say."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What `megatron-bio inspect` shows besides the model: version, layout, order of queries, keys and values, padding."""
