"""Options of `score`, which compares predictions with gold data."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_bio.config.errors import ConfigurationError

QuestionType = Literal["factoid", "yesno", "list"]


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Gold data and predictions in; out the measures of the benchmark's official program."""

    task: Literal["ner", "chemprot", "squad", "squad2", "bioasq", "choice"]
    """Which measures and which form of files: named entities, ChemProt's relations, SQuAD 1.1, SQuAD 2.0, BioASQ's exact answers,
    or one label per question (MedQA, MedMCQA, PubMedQA)."""
    gold: Path
    """The right answers, plain or gzip."""
    predictions: Path
    """What a model predicts for the same questions, plain or gzip."""
    output: Path | None = None
    """File for the measures as JSON, with versions and the sha256 of the files; an earlier one is replaced."""
    question_types: list[QuestionType] = field(default_factory=lambda: ["factoid", "yesno", "list"])
    """BioASQ: the types of questions that are scored, of those that the gold file has."""
    no_answer_probabilities: Path | None = None
    """SQuAD 2.0: JSON of question id to a number that grows with the belief that there is no answer."""
    no_answer_threshold: float = 1.0
    """SQuAD 2.0: an answer counts as none where that number is larger than this."""
    labels: list[str] = field(default_factory=list)
    """Choice: all labels that there are; the default is those of the gold file."""

    def __post_init__(self) -> None:
        """Refuse options that have no meaning for the task, before any file is opened."""
        if self.no_answer_probabilities is not None and self.task != "squad2":
            raise ConfigurationError(f"--no_answer_probabilities: is for --task squad2, not for {self.task}.")
        if self.labels and self.task != "choice":
            raise ConfigurationError(f"--labels: is for --task choice, not for {self.task}.")
        if not self.question_types:
            raise ConfigurationError(
                "--question_types: expected one or more of factoid, yesno and list, found none."
            )
        if math.isnan(self.no_answer_threshold):
            raise ConfigurationError("--no_answer_threshold: expected a number, found nan.")
