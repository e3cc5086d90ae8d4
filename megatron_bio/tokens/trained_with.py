"""The tokenizer that a model was trained with: where it is, and whether it is the one."""

from pathlib import Path

from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.tokenizer import Tokenizer


def tokenizer_place(model: Path, recorded: Path | None, given: Path | None) -> Path:
    """Return `given`, or the place that the checkpoint `model` names; raises `TokenizerError` if nothing is there."""
    if given is not None:
        return given
    if recorded is None:
        raise TokenizerError(
            f"{model}: it brings no tokenizer. Give the one that the model was trained with as --tokenizer (a folder, or "
            f"vocab.txt)."
        )
    if not recorded.exists():
        raise TokenizerError(
            f"{recorded}: the run had its tokenizer there, but nothing is there now (relative paths start at {Path.cwd()}). "
            f"Give its present place with --tokenizer."
        )
    return recorded


def require_trained_with(
    tokenizer: Tokenizer, *, model: Path, vocab_size: int | None, fingerprint: str | None
) -> None:
    """Raise `TokenizerError` unless it has the number of tokens, and the fingerprint if it is known, of the checkpoint `model`."""
    if tokenizer.vocab_size != vocab_size:
        raise TokenizerError(
            f"{tokenizer.name}: the tokenizer has {tokenizer.vocab_size} tokens, the model of {model} was trained with "
            f"{vocab_size}; it is another tokenizer. Give the right one with --tokenizer."
        )
    if fingerprint is not None and tokenizer.fingerprint != fingerprint:
        raise TokenizerError(
            f"{tokenizer.name}: the tokenizer has fingerprint {tokenizer.fingerprint}, the model of {model} was trained with "
            f"{fingerprint}; it would give other ids to the same text. Give the right one with --tokenizer."
        )
