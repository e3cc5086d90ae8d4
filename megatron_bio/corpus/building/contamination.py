"""What this stage asks of the index of the benchmarks; the only place that knows where it is made."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from megatron_bio.corpus.document import Document


class Match(Protocol):
    """Why a document is contaminated."""

    reason: str
    benchmark: str
    item: str


class Contamination(Protocol):
    """The texts and PMIDs of benchmark files; it travels to other processes by pickle."""

    @property
    def fingerprint(self) -> str:
        """Changes with the content of the files and the options."""

    def match(self, document: Document) -> Match | None:
        """What of the benchmarks is in the document."""

    def summary(self) -> list[dict[str, Any]]:
        """For each benchmark file its name, format and counts."""


def load_contamination(paths: Sequence[Path], ngram: int) -> Contamination | None:
    """The index of the benchmark files; None without files. Raises CorpusError for a file that cannot be used."""
    if not paths:
        return None
    module = import_module("megatron_bio.corpus.decontamination.index")
    index: Contamination = module.ContaminationIndex.from_files(paths, ngram=ngram)
    return index
