"""What a user can do wrong when converting."""

from megatron_bio.config.errors import UserError


class ConvertError(UserError):
    """A checkpoint cannot be converted as asked, or the result was not equal to it."""
