"""BioASQ's factoid questions: five answers, the best first."""

from collections.abc import Sequence

from megatron_bio.downstream.scorers.bioasq import MOST_FACTOID_ANSWERS
from megatron_bio.downstream.tasks.bioasq_snippets import NamedAnswer
from megatron_bio.downstream.tasks.bioasq_task import SnippetTask


class BioASQFactoidTask(SnippetTask):
    """Strict and lenient accuracy, and the mean reciprocal rank, of the five best answers."""

    question_kind = "factoid"
    main_measure = ("factoid", "mean_reciprocal_rank")

    def __init__(self, name: str = "BioASQ-factoid") -> None:
        self.name = name

    def chosen(self, answers: Sequence[NamedAnswer]) -> list[str]:
        """The five best."""
        return [answer.text for answer in answers[:MOST_FACTOID_ANSWERS]]
