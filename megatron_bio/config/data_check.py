"""Options of the verb that says which benchmarks are in a folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """A folder of benchmarks in; what they are, whether they are whole and what is in them out."""

    folder: Path
    """The folder, with all folders below it; may be given without the flag."""
    json: bool = False
    """Print JSON instead of text."""
