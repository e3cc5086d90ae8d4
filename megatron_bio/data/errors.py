"""The errors that token data can cause here."""

from megatron_bio.config.errors import UserError


class DataError(UserError):
    """Token data cannot give the batches that were asked for; the message says what to do about it."""
