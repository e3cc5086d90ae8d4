"""Questions about texts, answered with a class: PubMedQA's yes, no and maybe, BioASQ's yes and no."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.data_check.kinds import kind_of
from megatron_bio.downstream.readers.bioasq import read_bioasq
from megatron_bio.downstream.readers.pubmedqa import LABELS, read_pubmedqa, read_pubmedqa_decisions
from megatron_bio.downstream.readers.question_forms import AbstractQuestion, BioASQQuestion
from megatron_bio.downstream.scorers import bioasq
from megatron_bio.downstream.scorers.choice import score_choices
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.tasks.choice_files import write_labels
from megatron_bio.downstream.tasks.form import (
    Encoded,
    Example,
    Examples,
    Logits,
    PartName,
    Row,
    Settings,
    Task,
)
from megatron_bio.downstream.tasks.parts import (
    names_of,
    once,
    opened,
    used,
    with_development,
    without_overlap,
)
from megatron_bio.downstream.tasks.rows import Rows, cut, last
from megatron_bio.downstream.whole_file import write_json
from megatron_bio.tokens.data_file import DataFile

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TEXT_CUT = "text cut at its end"
QUESTION_CUT = "question without its beginning, and without its text"
NOT_CHOSEN = "question of the test part without a decision in test_ground_truth.json"
OTHER_TYPE = "question that is not a yes/no question"
NO_ANSWER = "yes/no question without an answer, as in a test set"
REPEATED = "question that another file of the part has too"
_YES_NO: Final = ("no", "yes")


def _settings(epochs: int, warmup_fraction: float) -> Settings:
    return Settings(
        learning_rate=2e-5,
        epochs=epochs,
        batch_size=16,
        max_length=512,
        warmup_fraction=warmup_fraction,
        weight_decay=0.0,
        head_layers=1,
        head_size=None,
        head_dropout=0.1,
    )


class _ClassifiedQuestions(Task[Example, int, str]):
    """A place is the number of the example, a prediction its label."""

    kind = "classified questions"
    head = "sequence"

    @abstractmethod
    def texts(self, example: Example) -> tuple[str, str]:
        """The question and the text that it is about."""

    @abstractmethod
    def label(self, example: Example) -> str:
        """The right answer."""

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[int]:
        """A row for each question: the question, then what fits of its text.

        Where the tokenizer sets nothing between the two, as a GPT's, the text comes first: the last piece, which is classified, is
        then the question's and not that of a place where the text was cut.
        """
        rows = Rows(tokenizer, settings.max_length, texts=2)
        pairs = [self.texts(example) for example in examples]
        shortened: Counter[str] = Counter()
        features: list[Row] = []
        for example, question, text in zip(
            examples,
            rows.second_pieces([question for question, _ in pairs]),
            rows.pieces([text for _, text in pairs]),
            strict=True,
        ):
            if len(question) > rows.room:
                shortened[QUESTION_CUT] += 1
            elif len(question) + len(text) > rows.room:
                shortened[TEXT_CUT] += 1
            question = last(question, rows.room)
            text = cut(text, 0, min(len(text), rows.room - len(question)))
            row = rows.row(text, question) if rows.are_joined else rows.row(question, text)
            features.append(row | {"labels": labels.index(self.label(example))} if training else row)
        return Encoded(features=features, places=tuple(range(len(examples))), shortened=shortened)

    def predictions(
        self,
        examples: Sequence[Example],
        encoded: Encoded[int],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[str, ...]:
        """The likeliest label of each question."""
        return tuple(labels[int(logits.argmax())] for logits in outputs)


class PubMedQATask(_ClassifiedQuestions[AbstractQuestion]):
    """PubMedQA: yes, no or maybe from a question and an abstract without its conclusion (Q. Jin et al., arXiv 1909.06146).

    Defaults are those of BioLinkBERT-base (M. Yasunaga et al., arXiv 2203.15827), whose 100 steps of warm-up are 11 % of the 870.
    """

    main_measure = ("overall", "accuracy")
    defaults = _settings(epochs=30, warmup_fraction=0.11)

    def __init__(self, name: str = "PubMedQA") -> None:
        """`name` is that of the data set."""
        self.name = self.benchmark = name

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[AbstractQuestion]]:
        """Read labelled questions. `test_ground_truth.json` chooses the questions of the test part from all files.

        Without a development part a tenth of the training part is it, by the sha256 of the PMIDs. Raises ConfigurationError for
        decisions without their questions, and for those that are not the questions' own.
        """
        questions: dict[PartName, list[DataFile]] = {}
        decisions: list[DataFile] = []
        for part, of_part in opened(files).items():
            for file in of_part:
                if kind_of(file) == "PubMedQA decisions":
                    decisions.append(file)
                else:
                    questions.setdefault(part, []).append(file)
        parts = {part: _labelled(of_part) for part, of_part in questions.items()}
        if decisions:
            parts = _chosen(parts, decisions)
        return with_development(without_overlap(parts, _pmid), _pmid)

    def labels(self, parts: Mapping[PartName, Examples[AbstractQuestion]]) -> tuple[str, ...]:
        """`yes`, `no` and `maybe`."""
        return LABELS

    def texts(self, example: AbstractQuestion) -> tuple[str, str]:
        """The question, and the abstract's sections one after the other."""
        return example.question, " ".join(example.contexts)

    def label(self, example: AbstractQuestion) -> str:
        """The final decision."""
        return example.label

    def score(self, examples: Sequence[AbstractQuestion], predictions: Sequence[str]) -> Scores:
        """Accuracy and macro F1, as PubMedQA's own program."""
        return score_choices(*_by_pmid(examples, predictions))

    def write(self, examples: Sequence[AbstractQuestion], predictions: Sequence[str], folder: Path) -> None:
        """Write `gold.json` and `predictions.json` for `score --task choice`, in the form of `test_ground_truth.json`."""
        write_labels(*_by_pmid(examples, predictions), folder)


class BioASQYesNoTask(_ClassifiedQuestions[BioASQQuestion]):
    """BioASQ task B, yes/no questions with their snippets.

    Defaults are those of BioLinkBERT-base (M. Yasunaga et al., arXiv 2203.15827), whose 100 steps of warm-up are 12 % of the 840.
    """

    main_measure = ("yesno", "accuracy")
    defaults = _settings(epochs=20, warmup_fraction=0.12)
    benchmark = "BioASQ"

    def __init__(self, name: str = "BioASQ-yesno") -> None:
        """`name` is that of the data set."""
        self.name = name

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[BioASQQuestion]]:
        """Read training and golden files. A question that the test part has too is no training example.

        A part without yes/no questions that have an answer is not there. Without a development part a tenth of the training part is
        it, by the sha256 of the ids.
        """
        parts = {part: _yes_no(of_part) for part, of_part in opened(files).items()}
        answered = {part: found for part, found in parts.items() if found.examples}
        return with_development(without_overlap(answered, _id), _id)

    def labels(self, parts: Mapping[PartName, Examples[BioASQQuestion]]) -> tuple[str, ...]:
        """`no` and `yes`."""
        return _YES_NO

    def texts(self, example: BioASQQuestion) -> tuple[str, str]:
        """The question, and its snippets in the file's order. Experts marked some passages twice: they count once."""
        return example.question, " ".join(dict.fromkeys(snippet.text.strip() for snippet in example.snippets))

    def label(self, example: BioASQQuestion) -> str:
        """Yes or no."""
        return _YES_NO[bool(example.yes)]

    def score(self, examples: Sequence[BioASQQuestion], predictions: Sequence[str]) -> Scores:
        """Accuracy, F1 of each answer and their mean."""
        gold = {question.id: bioasq.Question("yesno", self.label(question)) for question in examples}
        return bioasq.score_bioasq(gold, dict(zip(gold, predictions, strict=True)))

    def write(self, examples: Sequence[BioASQQuestion], predictions: Sequence[str], folder: Path) -> None:
        """Write `gold.json` and `predictions.json` in BioASQ's form, for `score --task bioasq`."""
        for name, answers in (("gold", map(self.label, examples)), ("predictions", predictions)):
            questions = [
                {"id": question.id, "type": "yesno", "body": question.question, "exact_answer": answer}
                for question, answer in zip(examples, answers, strict=True)
            ]
            write_json(folder / f"{name}.json", {"questions": questions})


def _pmid(question: AbstractQuestion) -> str:
    return question.id


def _id(question: BioASQQuestion) -> str:
    return question.id


def _by_pmid(
    examples: Sequence[AbstractQuestion], predictions: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    gold = {question.id: question.label for question in examples}
    return gold, dict(zip(gold, predictions, strict=True))


def _labelled(files: Sequence[DataFile]) -> Examples[AbstractQuestion]:
    found = [question for file in files for question in read_pubmedqa(file).questions]
    questions = once(((question.id, question) for question in found), names_of(files))
    return Examples(examples=tuple(questions.values()), files=tuple(map(used, files)))


def _chosen(
    parts: Mapping[PartName, Examples[AbstractQuestion]], files: Sequence[DataFile]
) -> dict[PartName, Examples[AbstractQuestion]]:
    """The parts with a test part of the questions that have a decision; without_overlap takes them out of the others."""
    where = names_of(files)
    decisions = once((pair for file in files for pair in read_pubmedqa_decisions(file).items()), where)
    questions = {question.id: question for found in parts.values() for question in found.examples}
    if missing := [pmid for pmid in decisions if pmid not in questions]:
        raise ConfigurationError(
            f"{where}: expected the questions of all decisions in another file (ori_pqal.json), found {len(missing):,} without, "
            f"the first PMID {missing[0]}. Put that file beside it."
        )
    for pmid, decision in decisions.items():
        if decision != questions[pmid].label:
            raise ConfigurationError(
                f"{where}: expected the decision of PMID {pmid} in the file of questions, {questions[pmid].label}, "
                f"found {decision}. Are both files of one version?"
            )
    test = parts.get("test", Examples(examples=(), files=()))
    left_out = Counter({NOT_CHOSEN: sum(question.id not in decisions for question in test.examples)})
    chosen = Examples(
        examples=tuple(questions[pmid] for pmid in decisions),
        files=(*test.files, *map(used, files)),
        left_out=+left_out,
    )
    return {**parts, "test": chosen}


def _yes_no(files: Sequence[DataFile]) -> Examples[BioASQQuestion]:
    """A later training file holds the questions of earlier ones: each counts once."""
    questions: dict[str, BioASQQuestion] = {}
    left_out: Counter[str] = Counter()
    for file in files:
        for question in read_bioasq(file).questions:
            if question.type != "yesno":
                left_out[OTHER_TYPE] += 1
            elif question.yes is None:
                left_out[NO_ANSWER] += 1
            elif question.id in questions:
                left_out[REPEATED] += 1
            else:
                questions[question.id] = question
    return Examples(examples=tuple(questions.values()), files=tuple(map(used, files)), left_out=left_out)
