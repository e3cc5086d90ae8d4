"""What the fine-tuning tasks of BioASQ's factoid and list questions have in common."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.tasks.bioasq_snippets import (
    NamedAnswer,
    QuestionKind,
    SnippetQuestion,
    merged_answers,
    read_questions,
    readings,
    score_answers,
    training_readings,
    write_answers,
)
from megatron_bio.downstream.tasks.form import Encoded, Examples, Logits, PartName, Settings, Task
from megatron_bio.downstream.tasks.span_questions import SPAN_SETTINGS
from megatron_bio.downstream.tasks.span_windows import WindowPlace, encode_readings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BIOASQ_SETTINGS: Final = replace(SPAN_SETTINGS, epochs=30)
"""The BioMegatron paper's. `first_task` is empty here: `SQuAD1.1` gives the paper's fine-tuning in two stages."""


class SnippetTask(Task[SnippetQuestion, WindowPlace, tuple[NamedAnswer, ...]]):
    """Questions of one type, each with several snippets."""

    benchmark = "BioASQ"
    kind = "span questions"
    head = "spans"
    defaults = BIOASQ_SETTINGS
    question_kind: QuestionKind

    @abstractmethod
    def chosen(self, answers: Sequence[NamedAnswer]) -> list[str]:
        """The answers to submit, of those found, the best first."""

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[SnippetQuestion]]:
        """See `read_questions`."""
        return read_questions(files, self.question_kind)

    def labels(self, parts: Mapping[PartName, Examples[SnippetQuestion]]) -> tuple[str, ...]:
        """None."""
        return ()

    def encode(
        self,
        examples: Sequence[SnippetQuestion],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[WindowPlace]:
        """Make a row of each window of each snippet; for training of each place of an answer."""
        of_examples = training_readings(examples) if training else readings(examples)
        return encode_readings(of_examples, tokenizer, settings, training)

    def predictions(
        self,
        examples: Sequence[SnippetQuestion],
        encoded: Encoded[WindowPlace],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[tuple[NamedAnswer, ...], ...]:
        """All answers of each question with their probabilities."""
        return merged_answers(examples, encoded, outputs)

    def score(
        self, examples: Sequence[SnippetQuestion], predictions: Sequence[tuple[NamedAnswer, ...]]
    ) -> Scores:
        """BioASQ's measures, all together and of each file."""
        return score_answers(examples, [self.chosen(answers) for answers in predictions], self.question_kind)

    def write(
        self,
        examples: Sequence[SnippetQuestion],
        predictions: Sequence[tuple[NamedAnswer, ...]],
        folder: Path,
    ) -> None:
        """See `write_answers`."""
        write_answers(examples, [self.chosen(answers) for answers in predictions], folder)
