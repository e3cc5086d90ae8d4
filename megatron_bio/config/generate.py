"""Options of the verbs that use a checkpoint as it is: generate and fill."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

_PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class _CheckpointUse:
    checkpoint: Path
    """Checkpoint to use: its folder (step-…), or a run's folder, of which the newest checkpoint is taken."""
    tokenizer: Path | None = None
    """Folder of the tokenizer that the model was trained with; the one that the run named when not given."""
    output: Path | None = None
    """File to write instead of stdout, one JSON object a line (JSONL); it must not be there yet."""
    batch_size: int = 8
    """Texts that are computed together; more is faster and takes more memory."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of weights and computation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes CUDA devices where there are any."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        if self.precision not in _PRECISIONS:
            raise ConfigurationError(
                f"--precision: expected one of {', '.join(_PRECISIONS)}; found {self.precision!r}."
            )
        if self.batch_size < 1:
            raise ConfigurationError(f"--batch_size: expected at least 1, found {self.batch_size}.")


def _one_source(name: str, texts: list[str], file: Path | None) -> None:
    if texts and file is not None:
        raise ConfigurationError(f"--{name} and --{name}_file are two sources of texts; give one of the two.")


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(_CheckpointUse):
    """A GPT's checkpoint and beginnings of texts in, what the model writes after them out."""

    prompts: list[str] = field(default_factory=list)
    """Beginnings of texts; without these and --prompts_file they are read from stdin, one a line."""
    prompts_file: Path | None = None
    """File of prompts: one a line, or if its name ends in .jsonl one JSON object a line with "prompt" or "text"."""
    max_new_tokens: int = 64
    """Most tokens to write after a prompt; prompt and new tokens never exceed the model's positions."""
    temperature: float = 1.0
    """Logits are divided by it: below 1 likely tokens become likelier; 0 always takes the likeliest, as --greedy."""
    top_k: int = 0
    """Draw among so many likeliest tokens; 0 draws among all."""
    top_p: float = 1.0
    """Draw among the fewest likeliest tokens that have this probability together (nucleus sampling)."""
    greedy: bool = False
    """Always take the likeliest token: nothing is drawn."""
    seed: int = 1234
    """Same seed, same texts: at any batch size, tensor-parallel size, with or without the cache."""
    samples_per_prompt: int = 1
    """Texts to write for each prompt."""
    stop_at_end_of_text: bool = True
    """Stop when the model writes the token that ends a document."""
    begin_document: bool = False
    """Put the token that ends a document before each prompt, as documents stand in training; prompts may then be empty."""
    key_value_cache: bool = True
    """Keep the keys and values of earlier tokens instead of computing them for each new one; needs memory, saves time."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        super().__post_init__()
        _one_source("prompts", self.prompts, self.prompts_file)
        for name in ("max_new_tokens", "samples_per_prompt"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"--{name}: expected at least 1, found {getattr(self, name)}.")
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigurationError(f"--temperature: expected 0 or more, found {self.temperature}.")
        if self.top_k < 0:
            raise ConfigurationError(f"--top_k: expected 0 (all tokens) or more, found {self.top_k}.")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigurationError(f"--top_p: expected more than 0, at most 1, found {self.top_p}.")
        if self.draws_nothing and self.samples_per_prompt > 1:
            raise ConfigurationError(
                f"--samples_per_prompt {self.samples_per_prompt}: --greedy and --temperature 0 draw nothing, so all samples of "
                f"a prompt would be equal; give a --temperature above 0."
            )

    @property
    def draws_nothing(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.greedy or self.temperature == 0.0


@dataclass(frozen=True, kw_only=True)
class FillOptions(_CheckpointUse):
    """A BERT's checkpoint and texts with [MASK] in, the likeliest tokens for each [MASK] out."""

    texts: list[str] = field(default_factory=list)
    """Texts with at least one [MASK]; without these and --texts_file they are read from stdin, one a line."""
    texts_file: Path | None = None
    """File of texts: one a line, or if its name ends in .jsonl one JSON object a line with "text"."""
    top_k: int = 5
    """Candidates to give for each [MASK]."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        super().__post_init__()
        _one_source("texts", self.texts, self.texts_file)
        if self.top_k < 1:
            raise ConfigurationError(f"--top_k: expected at least 1, found {self.top_k}.")
