"""What can be wrong with the files a user gives to the corpus stage."""

from pathlib import Path

from megatron_bio.config.errors import UserError


class CorpusError(UserError):
    """An input or output of the corpus stage cannot be used."""


class DamagedFileError(CorpusError):
    """One input file is unusable although others may be fine; `--on_error skip` leaves such a file out."""

    def __init__(self, path: Path, reason: str, message: str) -> None:
        """`reason` is the short phrase it is counted under, `message` the whole story without the path."""
        super().__init__(f"{path}: {message}")
        self.path = path
        self.reason = reason
