"""Options of the verb that says what a file or folder is."""

from dataclasses import dataclass
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """A file, folder or prefix in, a description out."""

    path: Path
    """What to look at: documents, a corpus, a tokenizer folder, token data (prefix, .bin or .idx), a run, checkpoint or
    exported folder, or OUTPUT.unfinished."""
    tokenizer: Path | None = None
    """Tokenizer folder, to show the first tokens of token data as text."""
    json: bool = False
    """Print JSON instead of a table."""
    verify: bool = False
    """Read everything: compare the files of a corpus or checkpoint with their checksums, check a whole index, count all
    documents."""

    def __post_init__(self) -> None:
        """Refuse a tokenizer that is not there, before anything is read."""
        if self.tokenizer is not None and not self.tokenizer.is_dir():
            raise ConfigurationError(
                f"--tokenizer: expected a tokenizer folder, found no folder {self.tokenizer}."
            )
