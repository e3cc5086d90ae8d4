"""The common forms of questions: with answers in a text, of BioASQ, about an abstract, with a choice of answers."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Question = TypeVar("Question")
QuestionType = Literal["factoid", "yesno", "list", "summary"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`context[start : start + len(text)] == text`, in characters."""

    text: str
    start: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanQuestion:
    """A question and the text that its answer is in, as in SQuAD."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    """As annotators gave them, repeated ones too; none if the text does not answer the question."""
    impossible: bool
    """SQuAD 2.0: the text does not answer it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A passage that BioASQ's experts marked; offsets count in the abstract, which is not in the file."""

    text: str
    document: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BioASQQuestion:
    """A question of BioASQ task B with its gold answers."""

    id: str
    type: QuestionType
    question: str
    snippets: tuple[Snippet, ...]
    answers: tuple[tuple[str, ...], ...]
    """Each with its synonyms, the first being the preferred name: one for a factoid, any number for a list."""
    yes: bool | None
    """The answer to a yes/no question."""

    def as_span_questions(self) -> list[SpanQuestion]:
        """One question a snippet that has an answer or synonym, in any case of letters, at the first place of each.

        Ids are that of the question, `_` and three digits, as in the sets that BioBERT's authors passed on.
        """
        names = tuple(dict.fromkeys(name for answer in self.answers for name in answer if name))
        result: list[SpanQuestion] = []
        for snippet in self.snippets:
            answers = tuple(found for name in names if (found := first_place(name, snippet.text)) is not None)
            if answers:
                result.append(
                    SpanQuestion(
                        id=f"{self.id}_{len(result) + 1:03}",
                        question=self.question,
                        context=snippet.text,
                        answers=answers,
                        impossible=False,
                    )
                )
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstractQuestion:
    """PubMedQA: a question, an abstract without its conclusion, and yes, no or maybe."""

    id: str
    question: str
    contexts: tuple[str, ...]
    sections: tuple[str, ...]
    """The heading of each context."""
    long_answer: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceQuestion:
    """A question with a choice of answers: MedQA, MedMCQA."""

    id: str
    question: str
    options: tuple[str, ...]
    correct: int | None
    """Index in `options`; None where the file does not give it, as MedMCQA's test set."""
    subject: str


@dataclass(frozen=True, kw_only=True)
class QuestionSet(Generic[Question]):
    """One file of questions; what their form cannot hold is in `left_out`, what was found odd in `remarks`, by reason."""

    questions: tuple[Question, ...]
    offsets_verified: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)

    def counted(self, key: Callable[[Question], str]) -> Counter[str]:
        """How many questions of each kind that `key` gives."""
        return Counter(key(question) for question in self.questions)


def first_place(name: str, text: str) -> Answer | None:
    """The first place of `name` in `text` as a run of whole words, in any case of letters, spelt as it is there."""
    folded, sought = text.lower(), name.lower()
    if len(folded) != len(text) or not sought:  # a few capitals become two letters, and offsets would move
        folded, sought = text, name
    position = folded.find(sought) if sought else -1
    while position >= 0:
        end = position + len(sought)
        before = text[position - 1 : position] if position else ""
        if not (_joins(before, text[position]) or _joins(text[end - 1], text[end : end + 1])):
            return Answer(text=text[position:end], start=position)
        position = folded.find(sought, position + 1)
    return None


def _joins(left: str, right: str) -> bool:
    return left.isalnum() and right.isalnum()
