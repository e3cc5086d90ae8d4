"""Options of the `extract` verbs, which turn published texts into documents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

DOCUMENTS_SUFFIX = ".jsonl.zst"


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions:
    """What all sources have in common."""

    inputs: list[str]
    """Files or glob patterns, plain or compressed; may be given without the flag."""
    output: Path
    """File to write, ending in .jsonl.zst; the counts go to the same name with .report.json added."""
    workers: int = 1
    """Processes that read at the same time; the output does not depend on their number."""
    resume: bool = True
    """Use what an interrupted run of the same command has finished (it lies in OUTPUT.unfinished); false starts anew."""
    minimum_words: int = 0
    """Leave out records whose text has fewer words than this (words are separated by white space)."""
    on_error: Literal["stop", "keep"] = "stop"
    """At damage, stop with an error; or keep the records that are intact, count and name the loss, and exit with 3."""
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
        if self.workers < 1:
            raise ConfigurationError(f"--workers: expected 1 or more, found {self.workers}.")
        if self.minimum_words < 0:
            raise ConfigurationError(f"--minimum_words: expected 0 or more, found {self.minimum_words}.")
        if self.on_error not in ("stop", "keep"):
            raise ConfigurationError(f"--on_error: expected 'stop' or 'keep', found '{self.on_error}'.")


@dataclass(frozen=True, kw_only=True)
class ExtractPubmedOptions(ExtractionOptions):
    """PubMed XML in, documents with title and abstract out. Files that are all named as NLM names them (pubmedYYnNNNN.xml.gz)
    are read in the order of year and number. Give others in order of issue: of two equal versions the later one counts."""

    fields: Literal["text", "all"] = "all"
    """Beside title and abstract, `text` reads only languages and retractions, `all` everything that later filters ask for."""
    other_abstracts: bool = False
    """Keep abstracts in other languages (and of other publishers), apart from the text, in meta.other_abstracts."""
    require_abstract: bool = True
    """Leave out records that have only a title; if false, the title becomes the text of such a record."""

    def __post_init__(self) -> None:
        """As for all sources; other abstracts are not read with `text`."""
        super().__post_init__()
        if self.fields not in ("text", "all"):
            raise ConfigurationError(f"--fields: expected 'text' or 'all', found '{self.fields}'.")
        if self.other_abstracts and self.fields == "text":
            raise ConfigurationError(
                "--other_abstracts: expected --fields all with it, found --fields text, which does not read them."
            )
