"""The tokenizer that a model was trained with: found where the run had it or where the user says, and compared."""

from pathlib import Path

from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.tokenizer import Tokenizer


def find_tokenizer(
    recorded: Path, given: Path | None, *, model: Path, vocab_size: int | None, fingerprint: str
) -> tuple[Path, Tokenizer]:
    """Return the path and the tokenizer of the checkpoint `model`: `given`, or where the run had it.

    Raises `TokenizerError` if nothing is there, or if it has not the number of tokens and the fingerprint that the
    checkpoint names.
    """
    path = given or recorded
    if given is None and not path.exists():
        raise TokenizerError(
            f"{path}: the run had its tokenizer there, but nothing is there now (relative paths start at {Path.cwd()}). "
            f"Give its present place with --tokenizer."
        )
    tokenizer = Tokenizer.load(path)
    if tokenizer.vocab_size != vocab_size:
        raise TokenizerError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the model of {model} was trained with "
            f"{vocab_size}; it is another tokenizer. Give the right one with --tokenizer."
        )
    if tokenizer.fingerprint != fingerprint:
        raise TokenizerError(
            f"{path}: the tokenizer has fingerprint {tokenizer.fingerprint}, the model of {model} was trained with "
            f"{fingerprint}; it would give other ids to the same text. Give the right one with --tokenizer."
        )
    return path, tokenizer
