"""MedQA and MedMCQA: JSONL with a question, options and the right one.

MedQA: `question`, `options` (letter → text), `answer_idx` (letter), `answer` (text).
MedMCQA: `question`, `opa` to `opd`, `cop`, the number of the right one, which counts from 1 in the authors' files and from 0 in
later copies; the test set has none, or -1.
"""

from megatron_bio.downstream.readers.question_forms import ChoiceQuestion, QuestionSet
from megatron_bio.tokens.data_file import DataFile, Fields, shown

MEDMCQA_OPTIONS = ("opa", "opb", "opc", "opd")
_NOT_GIVEN = (None, -1)


def read_medqa(file: DataFile) -> QuestionSet[ChoiceQuestion]:
    """Read MedQA. Raises DamagedFileError with the line for broken JSON, values of the wrong kind, fewer than two options, a
    right one that is not among them, and an `answer` that is another text than the right option.
    """
    return QuestionSet(questions=tuple(_medqa(fields) for fields in file.json_lines()))


def read_medmcqa(file: DataFile, first_choice: int | None = None) -> QuestionSet[ChoiceQuestion]:
    """Read MedMCQA. `first_choice` is the number of the first option, 0 or 1; without it the file must show which.

    Raises DamagedFileError with the line as `read_medqa`, and if the numbers leave open where they begin.
    """
    lines = file.json_lines()
    numbers = [_number(fields) for fields in lines]
    if first_choice is None:
        first_choice = _first_choice(file, numbers)
    questions = []
    for place, (fields, number) in enumerate(zip(lines, numbers, strict=True), start=1):
        if number is not None and not 0 <= number - first_choice < len(MEDMCQA_OPTIONS):
            raise file.damaged(
                fields.place,
                f"a number from {first_choice} to {first_choice + 3} under 'cop', found {number}",
            )
        questions.append(
            ChoiceQuestion(
                id=str(fields.values.get("id") or place),
                question=fields.string("question"),
                options=tuple(fields.string(key) for key in MEDMCQA_OPTIONS),
                correct=None if number is None else number - first_choice,
                subject=str(fields.values.get("subject_name") or ""),
            )
        )
    return QuestionSet(questions=tuple(questions))


def _medqa(fields: Fields) -> ChoiceQuestion:
    found = fields.values.get("options")
    if not isinstance(found, dict) or len(found) < 2:
        raise fields.file.damaged(
            fields.place, f"two or more options with their letters, found {shown(found)}"
        )
    options = Fields(fields.file, f"{fields.place}, options", found)
    texts = tuple(options.string(letter) for letter in options.values)
    letter = fields.string("answer_idx")
    if letter not in options.values:
        raise fields.file.damaged(
            fields.place, f"a letter of {sorted(options.values)} under 'answer_idx', found {shown(letter)}"
        )
    correct = list(options.values).index(letter)
    if "answer" in fields.values and fields.string("answer") != texts[correct]:
        raise fields.file.damaged(
            fields.place,
            f"the option {letter} under 'answer', {shown(texts[correct])}, found {shown(fields.values['answer'])}",
        )
    return ChoiceQuestion(
        id=fields.place.removeprefix("line "),
        question=fields.string("question"),
        options=texts,
        correct=correct,
        subject=str(fields.values.get("meta_info") or ""),
    )


def _number(fields: Fields) -> int | None:
    number = fields.values.get("cop")
    if number in _NOT_GIVEN:
        return None
    if not isinstance(number, int) or isinstance(number, bool):
        raise fields.file.damaged(fields.place, f"a whole number under 'cop', found {shown(number)}")
    return number


def _first_choice(file: DataFile, numbers: list[int | None]) -> int:
    given = {number for number in numbers if number is not None}
    if not given:
        return 0
    from_zero, from_one = 0 in given, len(MEDMCQA_OPTIONS) in given
    if from_zero == from_one:
        found = "both 0 and 4" if from_zero else "neither 0 nor 4"
        raise file.damaged(
            "whole file", f"0 or 4 under 'cop', which shows where the numbers begin, found {found}"
        )
    return 0 if from_zero else 1
