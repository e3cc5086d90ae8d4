"""BioASQ task B, training and golden files: questions with snippets and exact answers.

A factoid's answer is a text, a list of synonyms, or a list of such lists, which all name one thing. A list's answer is a list
of texts or of lists of synonyms, each one thing. Offsets of snippets count in abstracts that are not in the file: they cannot
be verified.
"""

from collections import Counter
from collections.abc import Iterator
from typing import cast, get_args

from megatron_bio.downstream.readers.question_forms import BioASQQuestion, QuestionSet, QuestionType, Snippet
from megatron_bio.tokens.data_file import DataFile, Fields, shown

BLANK_NAME = "blank among the names of an answer"
NO_EXACT_ANSWER = "question without an exact answer, as in a test set"
IN_NO_SNIPPET = "factoid or list question whose answers are in no snippet"


def read_bioasq(file: DataFile) -> QuestionSet[BioASQQuestion]:
    """Read a file. Raises DamagedFileError with line or path for broken JSON, values of the wrong kind, an unknown type, an
    answer to a yes/no question that is neither, an id that comes twice, and a file without questions.
    """
    questions: list[BioASQQuestion] = []
    remarks: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    ids: set[str] = set()
    for fields in Fields(file, "", file.json()).objects("questions"):
        question = _question(fields, left_out)
        if question.id in ids:
            raise file.damaged(fields.place, f"each id once, found {shown(question.id)} again")
        ids.add(question.id)
        questions.append(question)
        if question.type in ("factoid", "list") and question.answers:
            remarks[IN_NO_SNIPPET] += not question.as_span_questions()
        elif question.type != "summary" and question.yes is None:
            remarks[NO_EXACT_ANSWER] += 1
    if not questions:
        raise file.damaged("whole file", "questions under 'questions', found none")
    return QuestionSet(questions=tuple(questions), left_out=left_out, remarks=+remarks)


def _question(fields: Fields, left_out: Counter[str]) -> BioASQQuestion:
    kind = fields.string("type")
    if kind not in get_args(QuestionType):
        raise fields.file.damaged(
            fields.place, f"a type of {', '.join(get_args(QuestionType))}, found {shown(kind)}"
        )
    exact = fields.values.get("exact_answer")
    return BioASQQuestion(
        id=fields.string("id"),
        type=cast(QuestionType, kind),
        question=fields.string("body"),
        snippets=tuple(
            Snippet(text=snippet.string("text"), document=str(snippet.values.get("document", "")))
            for snippet in fields.objects("snippets")
        ),
        answers=_answers(fields, kind, exact, left_out) if kind in ("factoid", "list") and exact else (),
        yes=_yes(fields, exact) if kind == "yesno" and exact is not None else None,
    )


def _yes(fields: Fields, exact: object) -> bool:
    answer = exact.strip(" .").casefold() if isinstance(exact, str) else None
    if answer not in ("yes", "no"):
        raise fields.file.damaged(fields.place, f"yes or no under 'exact_answer', found {shown(exact)}")
    return answer == "yes"


def _answers(fields: Fields, kind: str, exact: object, left_out: Counter[str]) -> tuple[tuple[str, ...], ...]:
    outer = exact if isinstance(exact, list) else [exact]
    things = [
        tuple(_names(fields, thing if isinstance(thing, list) else [thing], left_out)) for thing in outer
    ]
    if kind == "factoid":
        things = [tuple(dict.fromkeys(name for thing in things for name in thing))]
    return tuple(thing for thing in things if thing)


def _names(fields: Fields, found: list[object], left_out: Counter[str]) -> Iterator[str]:
    for name in found:
        if not isinstance(name, str):
            raise fields.file.damaged(
                fields.place, f"names and lists of names under 'exact_answer', found {shown(name)}"
            )
        if name.strip():
            yield name.strip()
        else:
            left_out[BLANK_NAME] += 1
