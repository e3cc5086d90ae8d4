"""Options of the verb that turns a checkpoint into a Hugging Face folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

_PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """A checkpoint in, a folder out that transformers loads: MegatronBERT or GPT-2 with its tokenizer."""

    checkpoint: Path
    """Checkpoint to convert: its folder (step-…), or a run's folder, of which the newest checkpoint is taken."""
    output: Path
    """Folder to write; an earlier export there is replaced once the new one is complete, anything else is refused."""
    tokenizer: Path | None = None
    """Folder of the tokenizer that the model was trained with; the one that the run named when not given."""
    check: bool = True
    """Load the written folder with transformers in float32 and require the logits of the checkpoint."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the stored weights; bf16 and fp16 round them and halve the size."""
    approximate: bool = False
    """Export a model that Hugging Face computes differently (bert with activation megatron) and print the difference,
    instead of refusing."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        if self.precision not in _PRECISIONS:
            raise ConfigurationError(
                f"--precision: expected one of {', '.join(_PRECISIONS)}; found {self.precision!r}."
            )
        if self.approximate and not self.check:
            raise ConfigurationError(
                "--approximate prints how far the export is from the checkpoint, which only the check can tell; "
                "leave out --check false."
            )
