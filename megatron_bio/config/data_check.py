"""Options of the verb that says which benchmarks are in a folder."""

from dataclasses import dataclass
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """A folder of benchmarks in; what they are, whether they are whole and what is in them out."""

    folder: Path
    """The folder, with all folders below it; may be given without the flag."""
    json: bool = False
    """Print JSON instead of text."""

    def __post_init__(self) -> None:
        """Refuse what is no folder, before anything is read."""
        if not self.folder.is_dir():
            raise ConfigurationError(
                f"--folder: expected a folder with benchmarks, found no folder {self.folder}."
            )
