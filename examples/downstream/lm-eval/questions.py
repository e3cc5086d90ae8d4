"""Files of MedQA, MedMCQA and PubMedQA as data sets of lm-evaluation-harness, read and checked by megatron-bio's readers."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from megatron_bio.downstream.readers.multiple_choice import read_medmcqa, read_medqa
from megatron_bio.downstream.readers.pubmedqa import LABELS, read_pubmedqa
from megatron_bio.downstream.readers.question_forms import ChoiceQuestion
from megatron_bio.tokens.data_file import DataFile

_LETTERS = "ABCDEFGH"


def medqa(medqa_file: str, **others: Any) -> dict[str, Dataset]:
    """The file that `--metadata` names as medqa_file."""
    return _choices(list(read_medqa(DataFile(Path(medqa_file))).questions))


def medmcqa(medmcqa_file: str, **others: Any) -> dict[str, Dataset]:
    """The file that `--metadata` names as medmcqa_file; it must have the right answers."""
    return _choices(list(read_medmcqa(DataFile(Path(medmcqa_file))).questions))


def pubmedqa(pubmedqa_file: str, **others: Any) -> dict[str, Dataset]:
    """The file that `--metadata` names as pubmedqa_file."""
    questions = read_pubmedqa(DataFile(Path(pubmedqa_file))).questions
    rows = [
        {
            "id": question.id,
            "abstract": "\n".join(question.contexts),
            "question": question.question,
            "label": LABELS.index(question.label),
        }
        for question in questions
    ]
    return {"test": Dataset.from_list(rows)}


def _choices(questions: list[ChoiceQuestion]) -> dict[str, Dataset]:
    rows = []
    for question in questions:
        if question.correct is None:
            raise ValueError(
                f"question {question.id}: the file does not give the right answer; take a part that does."
            )
        letters = list(_LETTERS[: len(question.options)])
        lines = [f"{letter}. {option}\n" for letter, option in zip(letters, question.options, strict=True)]
        rows.append(
            {
                "id": question.id,
                "question": question.question,
                "options": list(question.options),
                "letters": letters,
                "lettered": "".join(lines),
                "label": question.correct,
            }
        )
    return {"test": Dataset.from_list(rows)}
