"""What can be wrong with the files a user gives to the corpus stage."""

from pathlib import Path
from typing import Self

from megatron_bio.config.errors import UserError


class CorpusError(UserError):
    """An input or output of the corpus stage cannot be used."""


class DamagedFileError(CorpusError):
    """One input file is damaged although others may be fine; with `--on_error keep` what is intact in it is used."""

    def __init__(self, path: Path, reason: str, message: str) -> None:
        """`reason` is the short phrase it is counted under, `message` the whole story without the path."""
        super().__init__(f"{path}: {message}")
        self.path = path
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type[Self], tuple[Path, str, str]]:
        """Lets the error travel from a worker process."""
        return type(self), (self.path, self.reason, self.message)
