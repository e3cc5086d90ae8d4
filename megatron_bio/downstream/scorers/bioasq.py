"""Exact answers of BioASQ task B, phase B, as BioASQ's Evaluation-Measures scores them from the fifth challenge on (`-e 5`).

Source: BioASQ/Evaluation-Measures (Java), G. Balikas et al., Evaluation framework specifications (2013). Answers are equal if
they are the same characters in lower case. The gold data give synonyms of each answer, predictions do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from megatron_bio.downstream.scorers.counts import Scores, harmonic_mean, percent
from megatron_bio.downstream.scorers.input_file import InputFile, JsonObject, kind_of, require_same_ids

TYPES = ("factoid", "yesno", "list")
MOST_FACTOID_ANSWERS = 5
_UNSCORED = "summary"

Synonyms = tuple[str, ...]
Answer = Sequence[Synonyms] | str
"""Entities, each with its synonyms in lower case; of a yes/no question `yes`, `no` or `none`."""


@dataclass(frozen=True)
class Question:
    """A question with its gold answer."""

    type: str
    answer: Answer


def score_bioasq(gold: Mapping[str, Question], predictions: Mapping[str, Answer | None]) -> Scores:
    """Score answers by question id; None is a question left open. There is a row for each type that occurs in `gold`."""
    scores: Scores = {}
    for kind, score in (("factoid", _score_factoid), ("yesno", _score_yes_no), ("list", _score_lists)):
        pairs: list[Any] = [
            (question.answer, predictions[name]) for name, question in gold.items() if question.type == kind
        ]
        if pairs:
            scores[kind] = {**score(pairs), "questions": len(pairs)}
    return scores


def reciprocal_rank(gold: Sequence[Synonyms], answers: Sequence[Synonyms]) -> float:
    """Return 1 / the rank of the first answer that is a synonym of a gold answer, 0 if none is."""
    accepted = {synonym for synonyms in gold for synonym in synonyms}
    ranks = (rank for rank, answer in enumerate(answers, 1) if not accepted.isdisjoint(answer))
    return 1 / next(ranks, float("inf"))


def list_precision_recall(gold: Sequence[Synonyms], answers: Sequence[Synonyms]) -> tuple[float, float]:
    """Return precision and recall of a list, in per cent.

    Each answer takes the first gold item left that it names; a second answer for the same item is wrong. A gold item that is left
    is still not counted as missed if an answer names it, which happens where two items share a synonym; each answer excuses one.
    """
    left, excuses = list(gold), list(answers)
    right = sum(_take(left, answer) for answer in answers)
    missed = sum(not _take(excuses, item) for item in left)
    return percent(right, len(answers)), percent(right, right + missed)


def _take(items: list[Synonyms], names: Synonyms) -> bool:
    """Remove the first item that has one of the names; say whether there was one."""
    for place, item in enumerate(items):
        if not set(item).isdisjoint(names):
            del items[place]
            return True
    return False


def _score_factoid(pairs: Sequence[tuple[Sequence[Synonyms], Sequence[Synonyms] | None]]) -> Scores:
    ranks = [reciprocal_rank(gold, answers or ()) for gold, answers in pairs]
    return {
        "strict_accuracy": percent(ranks.count(1), len(ranks)),
        "lenient_accuracy": percent(sum(rank > 0 for rank in ranks), len(ranks)),
        "mean_reciprocal_rank": percent(sum(ranks), len(ranks)),
    }


def _score_yes_no(pairs: Sequence[tuple[str, str | None]]) -> Scores:
    """A wrong answer, also none at all, counts as the opposite of the gold one."""
    right = {label: sum(gold == answer == label for gold, answer in pairs) for label in ("yes", "no")}
    wrong = len(pairs) - sum(right.values())
    f1 = {label: percent(2 * count, 2 * count + wrong) for label, count in right.items()}
    return {
        "accuracy": percent(sum(right.values()), len(pairs)),
        "macro_f1": sum(f1.values()) / len(f1),
        "f1_yes": f1["yes"],
        "f1_no": f1["no"],
    }


def _score_lists(pairs: Sequence[tuple[Sequence[Synonyms], Sequence[Synonyms] | None]]) -> Scores:
    measures = [list_precision_recall(gold, answers or ()) for gold, answers in pairs]
    f1 = [harmonic_mean(precision, recall) for precision, recall in measures]
    return {
        "precision": sum(precision for precision, _ in measures) / len(pairs),
        "recall": sum(recall for _, recall in measures) / len(pairs),
        "f1": sum(f1) / len(pairs),
    }


def score_files(gold_file: InputFile, predictions_file: InputFile, types: Sequence[str]) -> Scores:
    """Score the questions of some types of a golden file of BioASQ; a submission has BioASQ's form too.

    Each of these questions must be in the predictions, where `exact_answer` may be missing or empty.
    """
    every = _entries(gold_file)
    gold: dict[str, Question] = {}
    for name, entry in every.items():
        kind = entry.get("type")
        if kind not in (*TYPES, _UNSCORED):
            gold_file.refuse(
                f"expected the type factoid, yesno, list or summary of {name!r}, found {kind!r}.",
                gold_file.line_of(name),
            )
        if kind in types:
            gold[name] = Question(kind, _gold_answer(gold_file, name, entry))
    if not gold:
        gold_file.refuse(f"expected questions of the types {', '.join(types)}, found none.")
    submitted = _entries(predictions_file)
    others = every.keys() - gold.keys()
    relevant = {name: entry for name, entry in submitted.items() if name not in others}
    require_same_ids(gold, gold_file, relevant, predictions_file)
    answers = {
        name: _answer(
            predictions_file, name, relevant[name].get("exact_answer"), question.type, submitted=True
        )
        for name, question in gold.items()
    }
    return score_bioasq(gold, answers)


def _entries(file: InputFile) -> dict[str, JsonObject]:
    value = file.json()
    questions = value.get("questions") if isinstance(value, JsonObject) else None
    if not isinstance(questions, list) or not questions:
        file.refuse(
            'expected BioASQ\'s form, {"questions": [{"id", "type", "exact_answer"}…]}, found another.'
        )
    entries: dict[str, JsonObject] = {}
    for question in questions:
        name = question.get("id") if isinstance(question, JsonObject) else None
        if not isinstance(name, str):
            file.refuse("expected an object with an id as string for each question, found one without.")
        if name in entries:
            file.refuse(f"the id {name!r} is there a second time.", file.line_of(name, 2))
        entries[name] = question
    return entries


def _gold_answer(file: InputFile, name: str, entry: JsonObject) -> Answer:
    kind, value = entry["type"], entry.get("exact_answer")
    answer = _answer(file, name, value, kind, submitted=False)
    if answer is None or answer == "none":
        file.refuse(
            f"the {kind} question {name!r} has no exact answer to compare with. Test sets without answers cannot be scored.",
            file.line_of(name),
        )
    return answer


def _answer(file: InputFile, name: str, value: Any, kind: str, submitted: bool) -> Answer | None:
    if value is None:
        return None
    if kind == "yesno":
        if not isinstance(value, str):
            file.refuse(
                f"expected yes or no as exact_answer of {name!r}, found {kind_of(value)}.", file.line_of(name)
            )
        lower = value.lower()
        return "yes" if "yes" in lower else "no" if "no" in lower else "none"
    if not isinstance(value, list) or not all(isinstance(item, str) or _is_strings(item) for item in value):
        file.refuse(
            f"expected a list of lists of strings as exact_answer of the {kind} question {name!r}, found {kind_of(value)}"
            f"{' of something else' if isinstance(value, list) else ''}.",
            file.line_of(name),
        )
    if kind == "factoid" and not submitted and value and all(isinstance(item, str) for item in value):
        value = [value]
    if kind == "factoid" and submitted and len(value) > MOST_FACTOID_ANSWERS:
        file.refuse(
            f"expected at most {MOST_FACTOID_ANSWERS} answers to the factoid question {name!r}, the best first, "
            f"found {len(value)}.",
            file.line_of(name),
        )
    # An item without any name is none: it takes no rank and is not wrong either.
    items = [[item] if isinstance(item, str) else item for item in value if item != []]
    return [tuple(text.lower() for text in (item[:1] if submitted else item)) for item in items]


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
