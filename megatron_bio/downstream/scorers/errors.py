"""What can be wrong with files that are to be scored."""

from megatron_bio.config.errors import UserError


class ScoringError(UserError):
    """Gold data or predictions cannot be read, or do not belong together."""
