"""The errors that tokenizers and token data can cause."""

from megatron_bio.config.errors import UserError


class TokenizerError(UserError):
    """A tokenizer cannot be loaded, or is not the one that is needed here."""


class TokenDataError(UserError):
    """Token data (.bin, .idx, .json) cannot be read or written, or does not fit together."""


class PreprocessError(UserError):
    """Turning documents into tokens failed; no output was changed."""


class TokenizerWarning(UserWarning):
    """A tokenizer can be used, but something about it is probably not meant."""
