"""What a user can do wrong when using a checkpoint."""

from megatron_bio.config.errors import UserError


class GenerationError(UserError):
    """A checkpoint cannot do what was asked, or a text cannot be used."""
