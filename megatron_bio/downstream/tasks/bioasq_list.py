"""BioASQ's list questions: every answer that is probable enough."""

from collections.abc import Sequence
from typing import Self

from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.tasks.bioasq_snippets import NamedAnswer, SnippetQuestion
from megatron_bio.downstream.tasks.bioasq_task import SnippetTask
from megatron_bio.downstream.tasks.form import measure_of

USUAL_THRESHOLD = 0.42
"""That of BioBERT's authors at BioASQ 7 (W. Yoon et al. 2019, arXiv 1909.08229)."""
MOST_LIST_ANSWERS = 100
"""BioASQ takes no more."""
_TRIED = tuple(number / 100 for number in range(1, 200))


class BioASQListTask(SnippetTask):
    """Precision, recall and F1, by question, of the answers whose probability is above `threshold`; of the best one if none is."""

    question_kind = "list"
    main_measure = ("list", "f1")

    def __init__(self, name: str = "BioASQ-list", threshold: float = USUAL_THRESHOLD) -> None:
        self.name = name
        self.threshold = threshold

    def chosen(self, answers: Sequence[NamedAnswer]) -> list[str]:
        """Those above the threshold, or the best one."""
        sure = [answer.text for answer in answers if answer.probability > self.threshold]
        return sure[:MOST_LIST_ANSWERS] or [answer.text for answer in answers[:1]]

    def score(
        self, examples: Sequence[SnippetQuestion], predictions: Sequence[tuple[NamedAnswer, ...]]
    ) -> Scores:
        """BioASQ's measures, all together and of each file, and the threshold."""
        return {**super().score(examples, predictions), "decided": {"threshold": self.threshold}}

    def tuned(
        self, examples: Sequence[SnippetQuestion], predictions: Sequence[tuple[NamedAnswer, ...]]
    ) -> Self:
        """The task with the threshold that gives the best F1 on these examples; of equal ones the nearest to the usual one."""

        def merit(threshold: float) -> tuple[float, float]:
            task = type(self)(self.name, threshold)
            f1 = measure_of(task.score(examples, predictions), self.main_measure)
            return f1, -abs(threshold - USUAL_THRESHOLD)

        return type(self)(self.name, max(_TRIED, key=merit))
