"""What this stage asks of the index of the benchmarks; the only place that knows where it is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from megatron_bio.corpus.decontamination.index import ContaminationIndex, Match
from megatron_bio.corpus.document import Document


class Contamination(Protocol):
    """The texts and PMIDs of benchmark files; it travels to other processes by pickle."""

    @property
    def fingerprint(self) -> str:
        """Changes with the content of the files and the options."""

    def match(self, document: Document) -> Match | None:
        """What of the benchmarks is in the document."""

    def summary(self) -> list[dict[str, object]]:
        """For each benchmark file its name, format and counts."""


def load_contamination(paths: Sequence[Path], ngram: int) -> Contamination | None:
    """The index of the benchmark files; None without files. Raises CorpusError for a file that cannot be used."""
    return ContaminationIndex.from_files(paths, ngram=ngram) if paths else None
