"""MedQA and MedMCQA: which of a question's options is right. Each option has a row of its own and one logit."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.data_check.kinds import kind_of
from megatron_bio.downstream.readers.multiple_choice import read_medmcqa, read_medqa
from megatron_bio.downstream.readers.question_forms import ChoiceQuestion, QuestionSet
from megatron_bio.downstream.scorers.choice import score_choices
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.tasks.choice_files import write_labels
from megatron_bio.downstream.tasks.form import Encoded, Examples, Logits, PartName, Row, Settings, Task
from megatron_bio.downstream.tasks.parts import names_of, once, opened, used, with_development
from megatron_bio.downstream.tasks.rows import Rows, cut, last
from megatron_bio.tokens.data_file import DataFile

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

QUESTION_CUT = "question without its beginning"
OPTIONS_CUT = "question with an option cut at its end"
NO_RIGHT_ANSWER = "question without a right answer, as in MedMCQA's test set"

_READERS: Mapping[str | None, Callable[[DataFile], QuestionSet[ChoiceQuestion]]] = MappingProxyType(
    {"MedQA": read_medqa, "MedMCQA": read_medmcqa}
)


class ChoiceTask(Task[ChoiceQuestion, int, int]):
    """Questions with options in the form of MedQA or of MedMCQA. A place is the number of the example, a prediction that of an
    option, from 0.

    Defaults are those of BioLinkBERT-base for MedQA (M. Yasunaga et al., arXiv 2203.15827), whose 100 steps of warm-up are 16 % of
    MedQA's 638.
    """

    kind = "choices"
    head = "choices"
    main_measure = ("overall", "accuracy")
    defaults = Settings(
        learning_rate=2e-5,
        epochs=2,
        batch_size=32,
        max_length=512,
        warmup_fraction=0.16,
        weight_decay=0.0,
        head_layers=1,
        head_size=None,
        head_dropout=0.1,
    )

    def __init__(self, name: str) -> None:
        """`name` is that of the data set."""
        self.name = self.benchmark = name

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[ChoiceQuestion]]:
        """Read the files. A part in which no question has a right answer is not there.

        Without a development part a tenth of the training part is it, by the sha256 of the questions.
        """
        parts = {part: _part(of_part) for part, of_part in opened(files).items()}
        answered = {part: found for part, found in parts.items() if found.examples}
        return with_development(answered, lambda question: question.question)

    def labels(self, parts: Mapping[PartName, Examples[ChoiceQuestion]]) -> tuple[str, ...]:
        """None."""
        return ()

    def encode(
        self,
        examples: Sequence[ChoiceQuestion],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[int]:
        """A row for each option: the question, then the option. All options of a question stand behind the same pieces of it."""
        rows = Rows(tokenizer, settings.max_length, texts=2)
        questions = rows.pieces([example.question for example in examples])
        options = iter(rows.second_pieces([option for example in examples for option in example.options]))
        shortened: Counter[str] = Counter()
        features: list[Row] = []
        for example, question in zip(examples, questions, strict=True):
            of_question = [next(options) for _ in example.options]
            row = _row(rows, question, of_question, shortened)
            features.append(row | {"labels": example.correct} if training else row)
        return Encoded(features=features, places=tuple(range(len(examples))), shortened=shortened)

    def predictions(
        self,
        examples: Sequence[ChoiceQuestion],
        encoded: Encoded[int],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[int, ...]:
        """The likeliest option of each question."""
        return tuple(int(logits.argmax()) for logits in outputs)

    def score(self, examples: Sequence[ChoiceQuestion], predictions: Sequence[int]) -> Scores:
        """Accuracy, and what `score --task choice` gives beside it."""
        return score_choices(*_by_id(examples, predictions))

    def write(self, examples: Sequence[ChoiceQuestion], predictions: Sequence[int], folder: Path) -> None:
        """Write `gold.json` and `predictions.json` for `score --task choice`; a label is the number of an option from 1."""
        write_labels(*_by_id(examples, predictions), folder)


def _row(rows: Rows, question: "Encoding", options: Sequence["Encoding"], shortened: Counter[str]) -> Row:
    """The rows of a question's options as one. An option leaves the question at least one piece."""
    longest = max(map(len, options))
    if longest > rows.room - 1:
        shortened[OPTIONS_CUT] += 1
        options = [cut(option, 0, min(len(option), rows.room - 1)) for option in options]
        longest = rows.room - 1
    if len(question) > rows.room - longest:
        shortened[QUESTION_CUT] += 1
        question = last(question, rows.room - longest)
    made = [rows.row(question, option) for option in options]
    return {key: [row[key] for row in made] for key in made[0]}


def _part(files: Sequence[DataFile]) -> Examples[ChoiceQuestion]:
    """The questions that have a right answer. Those of several files have the file's name in their ids, as MedQA's are lines."""
    of_files = [_read(file) for file in files]
    _require_different(files, of_files)
    found = [
        (f"{file.path.name}:{question.id}" if len(files) > 1 else question.id, question)
        for file, of_file in zip(files, of_files, strict=True)
        for question in of_file
    ]
    questions = [replace(question, id=name) for name, question in once(found, names_of(files)).items()]
    answered = tuple(question for question in questions if question.correct is not None)
    left_out = Counter({NO_RIGHT_ANSWER: len(questions) - len(answered)})
    return Examples(examples=answered, files=tuple(map(used, files)), left_out=+left_out)


def _require_different(files: Sequence[DataFile], of_files: Sequence[Sequence[ChoiceQuestion]]) -> None:
    """MedQA is published with four and with five options, whose files have the same names and questions."""
    earlier: dict[str, Path] = {}
    for file, of_file in zip(files, of_files, strict=True):
        again = [earlier[question.question] for question in of_file if question.question in earlier]
        if 2 * len(again) > len(of_file):
            raise ConfigurationError(
                f"{file.path}: expected other questions than those of {again[0]}, found {len(again):,} of its {len(of_file):,} "
                "again. Name the folder of one form of the data set, as choices:FOLDER."
            )
        earlier.update((question.question, file.path) for question in of_file)


def _read(file: DataFile) -> tuple[ChoiceQuestion, ...]:
    read = _READERS.get(kind_of(file))
    if read is None:
        raise file.damaged(
            "whole file",
            "questions with options in the form of MedQA (options, answer_idx) or MedMCQA (opa, cop), found another form",
        )
    return read(file).questions


def _by_id(
    examples: Sequence[ChoiceQuestion], predictions: Sequence[int]
) -> tuple[dict[str, str], dict[str, str]]:
    gold = {question.id: str((question.correct or 0) + 1) for question in examples}
    return gold, {name: str(predicted + 1) for name, predicted in zip(gold, predictions, strict=True)}
