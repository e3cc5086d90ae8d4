"""What a checkpoint of ours tells about the model in it: of a pretraining run, or converted from another format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.checkpoint.manifest import INFO, CheckpointError
from megatron_bio.config.model import ModelConfig, stored_model_options

FORMAT_VERSION = 1
TOKENIZER = "tokenizer"
"""Folder beside checkpoints/ of a checkpoint that was converted from another format."""


@dataclass(frozen=True)
class Trained:
    """A checkpoint's folder and what its info.json says of the model."""

    folder: Path
    model: ModelConfig
    step: int
    """Optimizer steps done."""
    tokenizer_fingerprint: str
    info: dict[str, Any]
    """All of info.json."""

    @property
    def tokenizer(self) -> Path | None:
        """Where its tokenizer is, or was when the run began; None where nothing tells."""
        beside = self.folder.parent.parent / TOKENIZER
        if beside.is_dir():
            return beside
        named = self.info["config"].get("data", {}).get("tokenizer")
        return Path(named) if named else None

    @property
    def longest_sequence(self) -> int:
        """Longest sequence trained, in tokens, or that the positions reach where nothing tells it."""
        reach = self.model.max_position_embeddings
        return min(reach, self.info["config"].get("data", {}).get("sequence_length", reach))


def read_trained(path: Path) -> Trained:
    """Find the checkpoint that a user means by `path` and read its info.json.

    Raises `CheckpointError` if there is none or if it is not of this version.
    """
    folder = resolve_checkpoint(path)
    info = read_info(folder)
    if info.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder}: expected a checkpoint of format {FORMAT_VERSION}, found {info.get('format')}; "
            f"convert it with the version of megatron-bio that wrote it."
        )
    try:
        return Trained(
            folder=folder,
            model=ModelConfig(**stored_model_options(info["config"]["model"])),
            step=info["step"],
            tokenizer_fingerprint=info["tokenizer_fingerprint"],
            info=info,
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / INFO}: expected the progress and configuration of a pretraining run; found: {error}. "
            f"Was it written by another version of megatron-bio?"
        ) from error
