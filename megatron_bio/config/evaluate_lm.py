"""Options of `evaluate lm`, which measures how well a language model predicts held-out text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.tokens import DOCUMENT_KEYS

LanguageModelKind = Literal["masked", "causal"]
_PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class EvaluateLmOptions:
    """A model and held-out documents in; out loss, perplexity, accuracy and bits per byte."""

    model: str
    """A run or checkpoint of this library or of another format that convert reads, a Hugging Face folder, or a name on the
    hub."""
    data: str
    """Held-out documents: a file (JSONL, plain or compressed), a glob pattern, or one split of a corpus, as corpus/test."""
    output: Path
    """Folder for results.json and documents.jsonl, which has the numbers of each document."""
    name: str | None = None
    """What tables call the model; by default the last part of --model."""
    tokenizer: Path | None = None
    """Folder of the model's tokenizer, where it did not come with the model and is not where its run named it."""
    converted: Path | None = None
    """Keep the Hugging Face folder that a checkpoint is converted to here; by default it is temporary."""
    keys: list[str] = field(default_factory=lambda: list(DOCUMENT_KEYS))
    """Keys of a document whose texts, one a line, are its text, as for preprocess."""
    documents: int | None = None
    """Take so many documents only, the first ones; all when not given."""
    kind: LanguageModelKind | None = None
    """masked (BERT, RoBERTa) or causal (GPT); by the model's type when not given."""
    mask: Literal["words", "pieces"] = "words"
    """Masked models: what is masked at once. words, with all their pieces, are the same for every vocabulary, so the numbers per
    word and byte can be compared between models; pieces are the tokenizer's own."""
    mask_share: float = 0.15
    """Masked models: share of the words or pieces that are masked."""
    pseudo_likelihood: bool = False
    """Masked models: instead of a share, mask every word or piece once, each in a row of its own. Exact, gives bits per byte, and
    takes as many rows as there are words or pieces."""
    seed: int = 1
    """Another seed masks other words."""
    context: int | None = None
    """Most tokens that the model sees at once, special ones too; by default what it was made for."""
    stride: int | None = None
    """Tokens that two windows of a document longer than the context share; half the context when not given. Causal: every token
    of a later window has at least so many before it."""
    batch_size: int = 8
    """Rows that are computed together; the results do not depend on it beyond rounding."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of weights and computation; the loss is computed in fp32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a CUDA device where there is one."""
    resume: bool = True
    """Go on with what an interrupted run of the same command left in the output folder; false throws it away."""
    progress: bool = True
    """Show the progress on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        self._check_numbers()
        if self.precision not in _PRECISIONS:
            raise ConfigurationError(
                f"--precision: expected one of {', '.join(_PRECISIONS)}; found {self.precision!r}."
            )
        if not self.keys or not all(self.keys) or len(set(self.keys)) != len(self.keys):
            raise ConfigurationError(f"--keys: expected different keys of a document, found {self.keys}.")
        if self.pseudo_likelihood and self.mask_share != type(self).mask_share:
            raise ConfigurationError(
                "--mask_share: --pseudo_likelihood masks every word or piece once; give one of the two."
            )
        if self.kind == "causal" and (self.pseudo_likelihood or self.mask != "words"):
            raise ConfigurationError("--mask, --pseudo_likelihood: a causal model masks nothing.")

    def _check_numbers(self) -> None:
        for name, value, least in (
            ("documents", self.documents, 1),
            ("batch_size", self.batch_size, 1),
            ("context", self.context, 2),
            ("stride", self.stride, 1),
        ):
            if value is not None and value < least:
                raise ConfigurationError(f"--{name}: expected at least {least}, found {value}.")
        if not 0.0 < self.mask_share <= 1.0:
            raise ConfigurationError(
                f"--mask_share: expected more than 0, at most 1, found {self.mask_share}."
            )
