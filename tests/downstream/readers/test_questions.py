"""SQuAD, BioASQ, PubMedQA, MedQA and MedMCQA: every value is checked, and a wrong one is named with its place."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from megatron_bio.downstream.readers.bioasq import BLANK_NAME, IN_NO_SNIPPET, NO_EXACT_ANSWER, read_bioasq
from megatron_bio.downstream.readers.multiple_choice import read_medmcqa, read_medqa
from megatron_bio.downstream.readers.pubmedqa import read_pubmedqa, read_pubmedqa_decisions
from megatron_bio.downstream.readers.question_forms import Answer, first_place
from megatron_bio.downstream.readers.squad import WITHOUT_ANSWER, read_squad
from megatron_bio.tokens.data_file import DamagedFileError, DataFile

WrittenFile = Callable[..., DataFile]
CONTEXT = "β-Blockers and lithium, 𝛼 and lithium."
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "a",
                            "question": "Which?",
                            "answers": [{"text": "lithium", "answer_start": 30}],
                        },
                        {"id": "b", "question": "Where?", "answers": [], "is_impossible": True},
                        {"id": "c", "question": "When?", "answers": []},
                    ],
                }
            ]
        }
    ],
}
BIOASQ = {
    "questions": [
        {
            "id": "f",
            "type": "factoid",
            "body": "Which gene?",
            "exact_answer": [["TP53", "p53"], ["TP53", " "]],
            "snippets": [{"text": "TP53X or tp53 is p53.", "document": "d"}, {"text": "None here."}],
        },
        {"id": "l", "type": "list", "body": "Which?", "exact_answer": [["a1", "b1"], ["c1"]], "snippets": []},
        {"id": "y", "type": "yesno", "body": "Is it?", "exact_answer": "Yes."},
        {"id": "n", "type": "yesno", "body": "Is it?", "exact_answer": "no", "snippets": []},
        {"id": "s", "type": "summary", "body": "What is it?", "ideal_answer": "It."},
        {"id": "t", "type": "factoid", "body": "Which one?", "exact_answer": "Alone"},
        {"id": "u", "type": "yesno", "body": "Is it unanswered?"},
    ]
}
PUBMEDQA = {
    "77": {
        "QUESTION": "Does it?",
        "CONTEXTS": ["One.", "Two."],
        "LABELS": ["A", "B"],
        "final_decision": "maybe",
        "LONG_ANSWER": "It may.",
    }
}
MEDQA = {"question": "Which?", "options": {"A": "x", "B": "y"}, "answer_idx": "B", "answer": "y"}
MEDMCQA = {"id": "q", "question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 4}


def changed(content: Any, *path: Any, to: object) -> Any:
    """A copy in which the value at `path` is another."""
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return content


def test_squad(written: WrittenFile) -> None:
    questions = read_squad(written(json.dumps(SQUAD)))
    first, impossible, open_question = questions.questions
    assert first.answers == (Answer(text="lithium", start=30),)
    assert (impossible.impossible, open_question.impossible) == (True, False)
    assert (questions.offsets_verified, questions.remarks) == (1, {WITHOUT_ANSWER: 1})


QUESTION = ("data", 0, "paragraphs", 0, "qas", 0)


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (
            (*QUESTION, "answers", 0, "answer_start"),
            29,
            "data[0].paragraphs[0].qas[0].answers[0]: expected the answer 'lithium' at character 29 of its context",
        ),
        ((*QUESTION, "answers", 0, "answer_start"), "30", "a whole number under 'answer_start', found '30'"),
        ((*QUESTION, "answers", 0, "answer_start"), -8, "a whole number under 'answer_start', found -8"),
        ((*QUESTION, "answers", 0, "text"), "", "expected the answer ''"),
        ((*QUESTION, "id"), 7, "qas[0]: expected a text under 'id', found 7"),
        ((*QUESTION, "id"), "b", "qas[1]: expected each id once, found 'b' again"),
        ((*QUESTION, "is_impossible"), True, "no answers to an impossible question"),
        ((*QUESTION, "is_impossible"), "no", "true or false under 'is_impossible', found 'no'"),
        (("data",), [], "whole file: expected questions"),
        (("data", 0), 1, "data[0]: expected a JSON object, found 1"),
    ],
)
def test_bad_squad(written: WrittenFile, path: tuple[Any, ...], to: object, message: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        read_squad(written(json.dumps(changed(SQUAD, *path, to=to))))


def test_bioasq(written: WrittenFile) -> None:
    found = read_bioasq(written(json.dumps(BIOASQ)))
    factoid, listed, yes, no, summary, alone, unanswered = found.questions
    assert factoid.answers == (("TP53", "p53"),)
    assert listed.answers == (("a1", "b1"), ("c1",))
    assert (yes.yes, no.yes, unanswered.yes, summary.answers) == (True, False, None, ())
    assert alone.answers == (("Alone",),)
    assert found.left_out == {BLANK_NAME: 1}
    assert found.remarks == {IN_NO_SNIPPET: 2, NO_EXACT_ANSWER: 1}
    (question,) = factoid.as_span_questions()
    assert question.id == "f_001"
    assert question.answers == (Answer(text="tp53", start=9), Answer(text="p53", start=17))


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (
            ("questions", 0, "type"),
            "open",
            "questions[0]: expected a type of factoid, yesno, list, summary, found 'open'",
        ),
        (
            ("questions", 2, "exact_answer"),
            "maybe",
            "questions[2]: expected yes or no under 'exact_answer', found 'maybe'",
        ),
        (("questions", 2, "exact_answer"), ["yes"], "questions[2]: expected yes or no"),
        (("questions", 1, "exact_answer", 0), 5, "questions[1]: expected names and lists of names"),
        (("questions", 1, "id"), "f", "questions[1]: expected each id once, found 'f' again"),
        (("questions", 0, "snippets", 0), "text", "questions[0].snippets[0]: expected a JSON object"),
        (("questions", 0, "body"), None, "expected a text under 'body', found None"),
        (("questions",), [], "whole file: expected questions"),
    ],
)
def test_bad_bioasq(written: WrittenFile, path: tuple[Any, ...], to: object, message: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        read_bioasq(written(json.dumps(changed(BIOASQ, *path, to=to))))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p53", "TP53 p53", Answer(text="p53", start=5)),
        ("COX-1", "cox-1.", Answer(text="cox-1", start=0)),
        ("a", "banana", None),
        ("İ", "an İ here", Answer(text="İ", start=3)),
        ("", "text", None),
        ("(R)-x", "the (R)-x.", Answer(text="(R)-x", start=4)),
    ],
)
def test_first_place_of_a_name(name: str, text: str, expected: Answer | None) -> None:
    assert first_place(name, text) == expected


def test_pubmedqa(written: WrittenFile) -> None:
    (question,) = read_pubmedqa(written(json.dumps(PUBMEDQA))).questions
    assert (question.id, question.label, question.contexts, question.sections) == (
        *("77", "maybe"),
        ("One.", "Two."),
        ("A", "B"),
    )
    assert read_pubmedqa_decisions(written('{"77": "yes"}')) == {"77": "yes"}


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (
            ("77", "final_decision"),
            "perhaps",
            "PMID 77: expected yes, no or maybe as the decision, found 'perhaps'",
        ),
        (
            ("77", "LABELS"),
            ["A"],
            "PMID 77: expected at least one of CONTEXTS and as many LABELS, found 2 and 1",
        ),
        (("77", "CONTEXTS"), "One.", "PMID 77: expected a list under 'CONTEXTS'"),
        (("77",), [], "PMID 77: expected a JSON object"),
    ],
)
def test_bad_pubmedqa(written: WrittenFile, path: tuple[Any, ...], to: object, message: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        read_pubmedqa(written(json.dumps(changed(PUBMEDQA, *path, to=to))))


def json_lines(*items: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in items)


def test_medqa(written: WrittenFile) -> None:
    first, second = read_medqa(written(json_lines(MEDQA, MEDQA))).questions
    assert (first.options, first.correct, first.id, second.id) == (("x", "y"), 1, "1", "2")


@pytest.mark.parametrize(
    ("key", "to", "message"),
    [
        ("options", {"A": "x"}, "line 2: expected two or more options"),
        ("options", {"A": "x", "B": 1}, "line 2, options: expected a text under 'B'"),
        ("answer_idx", "E", "line 2: expected a letter of ['A', 'B'] under 'answer_idx', found 'E'"),
        ("answer", "x", "line 2: expected the option B under 'answer', 'y', found 'x'"),
    ],
)
def test_bad_medqa(written: WrittenFile, key: str, to: object, message: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        read_medqa(written(json_lines(MEDQA, MEDQA | {key: to})))


def test_medmcqa_counts_from_one_or_from_zero(written: WrittenFile) -> None:
    from_one = json_lines(MEDMCQA, MEDMCQA | {"cop": 1}, MEDMCQA | {"cop": -1})
    assert [question.correct for question in read_medmcqa(written(from_one)).questions] == [3, 0, None]
    from_zero = json_lines(MEDMCQA | {"cop": 0}, MEDMCQA | {"cop": 3})
    assert [question.correct for question in read_medmcqa(written(from_zero)).questions] == [0, 3]
    given = read_medmcqa(written(json_lines(MEDMCQA | {"cop": 2})), first_choice=1)
    assert given.questions[0].correct == 1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            (2, 3),
            "whole file: expected 0 or 4 under 'cop', which shows where the numbers begin, found neither 0 nor 4",
        ),
        ((0, 4), "found both 0 and 4"),
        ((4, 5), "line 2: expected a number from 1 to 4 under 'cop', found 5"),
        ((4, "3"), "line 2: expected a whole number under 'cop', found '3'"),
    ],
)
def test_bad_medmcqa(written: WrittenFile, numbers: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        read_medmcqa(written(json_lines(*(MEDMCQA | {"cop": number} for number in numbers))))
