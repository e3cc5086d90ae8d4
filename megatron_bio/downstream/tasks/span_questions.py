"""SQuAD 1.1 and 2.0: the answer is a run of words of a text; in 2.0 there may be none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from megatron_bio.downstream.readers.question_forms import Answer, SpanQuestion
from megatron_bio.downstream.readers.squad import read_squad
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.scorers.squad import score_squad, score_squad2
from megatron_bio.downstream.tasks.form import (
    Encoded,
    Examples,
    Logits,
    PartName,
    Settings,
    Task,
    UsedFile,
)
from megatron_bio.downstream.tasks.span_decoding import FoundAnswers, best_answers
from megatron_bio.downstream.tasks.span_windows import Reading, WindowPlace, encode_readings
from megatron_bio.downstream.whole_file import write_json
from megatron_bio.tokens.data_file import DataFile

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPAN_SETTINGS: Final = Settings(
    learning_rate=3e-5,
    epochs=10,
    batch_size=64,
    max_length=512,
    warmup_fraction=0.1,
    weight_decay=0.01,
    head_layers=2,
    head_size=2048,
    head_dropout=0.1,
    stride=128,
)
"""SQuAD in the BioMegatron paper (H.-C. Shin et al. 2020), which took 64 questions on each of 16 GPUs. Warm-up and decay, which it
does not give, are those of BERT's SQuAD script."""


class SquadTask(Task[SpanQuestion, WindowPlace, FoundAnswers]):
    """SQuAD 1.1, or 2.0, whose questions may have no answer.

    In 2.0 the best answer counts as none where the probability of "no answer" is above `threshold`. 0.5 is the point where both
    have the same score; `tuned` sets it to the best one of development data.
    """

    benchmark = "SQuAD"
    kind = "span questions"
    head = "spans"
    main_measure = ("overall", "f1")
    defaults = SPAN_SETTINGS

    def __init__(self, name: str = "", *, unanswerable: bool, threshold: float = 0.5) -> None:
        self.name = name or ("SQuAD2.0" if unanswerable else "SQuAD1.1")
        self.unanswerable = unanswerable
        self.threshold = threshold

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[SpanQuestion]]:
        """Read files in SQuAD's form. Raises DamagedFileError with file and place, also for a question that 1.1 does not have,
        one without gold answers that is not marked as impossible, and a blank text.
        """
        return {part: self._part(paths) for part, paths in files.items()}

    def _part(self, paths: Sequence[Path]) -> Examples[SpanQuestion]:
        questions: dict[str, SpanQuestion] = {}
        used = []
        left_out: Counter[str] = Counter()
        for file in map(DataFile, paths):
            found = read_squad(file)
            left_out += found.left_out
            used.append(UsedFile(path=file.path, sha256=file.sha256))
            for question in found.questions:
                self._require_usable(file, question)
                if question.id in questions:
                    raise file.damaged(
                        f"question {question.id}", "an id that no other file has, found it again"
                    )
                questions[question.id] = question
        return Examples(examples=tuple(questions.values()), files=tuple(used), left_out=left_out)

    def _require_usable(self, file: DataFile, question: SpanQuestion) -> None:
        place = f"question {question.id}"
        if not question.context.strip():
            raise file.damaged(place, "a text under 'context', found a blank one")
        if question.impossible and not self.unanswerable:
            raise file.damaged(
                place,
                "an answer, as in SQuAD 1.1, found an impossible question. Take the task SQuAD2.0, or squad2:FOLDER for data "
                "of your own",
            )
        if not question.answers and not question.impossible:
            raise file.damaged(place, 'gold answers or "is_impossible": true, found neither')

    def labels(self, parts: Mapping[PartName, Examples[SpanQuestion]]) -> tuple[str, ...]:
        """None."""
        return ()

    def encode(
        self,
        examples: Sequence[SpanQuestion],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[WindowPlace]:
        """Make a row of each window; of several gold answers training takes the first."""
        readings = [
            Reading(
                example=index,
                question=question.question,
                context=question.context,
                answer=next(iter(question.answers), None) if training else None,
            )
            for index, question in enumerate(examples)
        ]
        return encode_readings(readings, tokenizer, settings, training)

    def predictions(
        self,
        examples: Sequence[SpanQuestion],
        encoded: Encoded[WindowPlace],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[FoundAnswers, ...]:
        """The best answers of each question."""
        windows: list[list[tuple[WindowPlace, Logits]]] = [[] for _ in examples]
        for place, logits in zip(encoded.places, outputs, strict=True):
            windows[place.example].append((place, logits))
        return tuple(
            best_answers(question.context, of_it) for question, of_it in zip(examples, windows, strict=True)
        )

    def score(self, examples: Sequence[SpanQuestion], predictions: Sequence[FoundAnswers]) -> Scores:
        """Exact match and F1. 2.0 has them with and without gold answers too, and `best`, the highest that a threshold could
        give; and the threshold that was taken.
        """
        gold = {question.id: [answer.text for answer in question.answers] for question in examples}
        answers, no_answer = _by_id(examples, predictions)
        if not self.unanswerable:
            return score_squad(gold, answers)
        scores = score_squad2(gold, answers, no_answer, self.threshold)
        return {**scores, "decided": {"no_answer_threshold": self.threshold}}

    def tuned(self, examples: Sequence[SpanQuestion], predictions: Sequence[FoundAnswers]) -> Self:
        """The task with the threshold that gives the best F1 on these examples, which should be development data."""
        if not self.unanswerable:
            return self
        threshold = self.score(examples, predictions)["best"]["f1_threshold"]
        return type(self)(self.name, unanswerable=True, threshold=threshold)

    def write(
        self, examples: Sequence[SpanQuestion], predictions: Sequence[FoundAnswers], folder: Path
    ) -> None:
        """Write gold.json and predictions.json; 2.0 also no_answer_probabilities.json, which `score` takes with `threshold`."""
        answers, no_answer = _by_id(examples, predictions)
        write_json(
            folder / "gold.json", {"version": self.name, "data": [{"paragraphs": _paragraphs(examples)}]}
        )
        write_json(folder / "predictions.json", answers)
        if self.unanswerable:
            write_json(folder / "no_answer_probabilities.json", no_answer)


def _by_id(
    examples: Sequence[SpanQuestion], predictions: Sequence[FoundAnswers]
) -> tuple[dict[str, str], dict[str, float]]:
    pairs = list(zip(examples, predictions, strict=True))
    answers = {question.id: found.answers[0].text if found.answers else "" for question, found in pairs}
    return answers, {question.id: found.no_answer_probability for question, found in pairs}


def _paragraphs(examples: Sequence[SpanQuestion]) -> list[dict[str, Any]]:
    return [
        {
            "context": context,
            "qas": [
                {
                    "id": question.id,
                    "question": question.question,
                    "answers": [_answer(answer) for answer in question.answers],
                    "is_impossible": question.impossible,
                }
                for question in questions
            ],
        }
        for context, questions in groupby(examples, key=lambda question: question.context)
    ]


def _answer(answer: Answer) -> dict[str, Any]:
    return {"text": answer.text, "answer_start": answer.start}
