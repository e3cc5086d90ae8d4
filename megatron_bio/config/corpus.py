"""Options of the verbs that turn published XML into documents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

DOCUMENTS_SUFFIX = ".jsonl.zst"


@dataclass(frozen=True, kw_only=True)
class ExtractPubmedOptions:
    """PubMed XML in, documents with title and abstract out."""

    inputs: list[str]
    """PubMed XML files, plain or compressed, or glob patterns; baseline files first, then update files, in order of issue."""
    output: Path
    """File to write, ending in .jsonl.zst; the counts go to the same name with .report.json added."""
    minimum_words: int = 0
    """Leave out records whose text has fewer words than this (words are separated by white space)."""
    require_abstract: bool = True
    """Leave out records that have only a title; if false, the title becomes the text of such a record."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do with a damaged file: stop with an error, or leave out the whole file and count it."""
    progress: bool = True
    """Show a progress bar on stderr when stderr is a terminal."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before any file is opened."""
        if not self.inputs:
            raise ConfigurationError("--inputs: expected at least one file or glob pattern, found none.")
        if not self.output.name.endswith(DOCUMENTS_SUFFIX):
            raise ConfigurationError(
                f"--output: expected a name ending in {DOCUMENTS_SUFFIX}, found '{self.output}'. "
                f"Write for example --output corpus/pubmed{DOCUMENTS_SUFFIX}."
            )
        if self.minimum_words < 0:
            raise ConfigurationError(f"--minimum_words: expected 0 or more, found {self.minimum_words}.")
        if self.on_error not in ("stop", "skip"):
            raise ConfigurationError(f"--on_error: expected 'stop' or 'skip', found '{self.on_error}'.")
