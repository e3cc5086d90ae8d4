"""Options of `corpus stats`, which counts what is in a corpus."""

from dataclasses import dataclass
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class CorpusStatsOptions:
    """Documents or a built corpus in; counts as text, and with --output also as JSON, Markdown and a picture."""

    inputs: list[str]
    """Documents files, glob patterns, or folders made by corpus build; may be given without the flag."""
    output: Path | None = None
    """Folder for statistics.txt, statistics.json, statistics.md and statistics.png."""
    picture: bool = True
    """Draw statistics.png; needs matplotlib."""
    workers: int = 1
    """Processes that count at the same time; the result does not depend on their number."""
    progress: bool = True
    """Show a progress bar on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        if not self.inputs:
            raise ConfigurationError("--inputs: expected at least one file or folder, found none.")
        if self.workers < 1:
            raise ConfigurationError(f"--workers: expected 1 or more, found {self.workers}.")
