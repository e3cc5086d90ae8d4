"""Questions of SQuAD 1.1 and 2.0: exact match and F1 of tokens, as the official scripts evaluate-v1.1 and evaluate-v2.0.

Sources: P. Rajpurkar et al. 2016 (arXiv 1606.05250) and 2018 (arXiv 1806.03822).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from megatron_bio.downstream.scorers.counts import Scores, harmonic_mean, percent
from megatron_bio.downstream.scorers.input_file import (
    InputFile,
    JsonObject,
    kind_of,
    require_same_ids,
    string_map,
)

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:an?|the)\b")


def normalised_tokens(answer: str) -> list[str]:
    """Return the words of an answer in lower case, without ASCII punctuation and without a, an and the."""
    return _ARTICLES.sub(" ", answer.lower().translate(_WITHOUT_PUNCTUATION)).split()


def exact_match(gold: str, predicted: str) -> bool:
    """Whether two answers have the same words in the same order."""
    return normalised_tokens(gold) == normalised_tokens(predicted)


def token_f1(gold: str, predicted: str) -> float:
    """Return the F1 of the words that two answers share, from 0 to 1; 0 if either has no words."""
    first, second = normalised_tokens(gold), normalised_tokens(predicted)
    shared = (Counter(first) & Counter(second)).total()
    if not shared:
        return 0.0
    # Computed in this order, for the search of the best threshold compares sums of it.
    return harmonic_mean(shared / len(second), shared / len(first))


def score_squad(gold: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> Scores:
    """Score answers by SQuAD 1.1: for each question the best match with one of its gold answers, of which it has one or more."""
    exact = [
        any(exact_match(answer, predictions[name]) for answer in answers) for name, answers in gold.items()
    ]
    f1 = [max(token_f1(answer, predictions[name]) for answer in answers) for name, answers in gold.items()]
    return {"overall": _row(exact, f1)}


def score_squad2(
    gold: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    no_answer_probabilities: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> Scores:
    """Score answers by SQuAD 2.0, where a question without gold answers is to be answered by nothing.

    With probabilities, answers of those above `threshold` count as none, and `best` has the highest scores that any threshold
    could give, with it. As in the official script, questions of equal probability are tried one after the other, in the order of
    `no_answer_probabilities`.
    """
    exact = {name: _best(gold[name], predictions[name], _exact_or_empty) for name in gold}
    f1 = {name: _best(gold[name], predictions[name], _f1_or_empty) for name in gold}
    probabilities = no_answer_probabilities or {}
    silenced = {name for name in gold if probabilities.get(name, 0.0) > threshold}
    rows = {
        "overall": list(gold),
        "with_answer": [name for name in gold if gold[name]],
        "without_answer": [name for name in gold if not gold[name]],
    }

    def scored(values: Mapping[str, float], names: Iterable[str]) -> list[float]:
        return [float(not gold[name]) if name in silenced else values[name] for name in names]

    scores: Scores = {
        kind: _row(scored(exact, names), scored(f1, names)) for kind, names in rows.items() if names
    }
    if no_answer_probabilities is not None:
        order = sorted(no_answer_probabilities, key=lambda name: no_answer_probabilities[name])
        best_exact, exact_threshold = _best_threshold(
            gold, predictions, exact, order, no_answer_probabilities
        )
        best_f1, f1_threshold = _best_threshold(gold, predictions, f1, order, no_answer_probabilities)
        scores["best"] = {
            "exact_match": best_exact,
            "exact_match_threshold": exact_threshold,
            "f1": best_f1,
            "f1_threshold": f1_threshold,
        }
    return scores


def _row(exact: Sequence[float], f1: Sequence[float]) -> dict[str, float | int]:
    return {
        "exact_match": percent(sum(exact), len(exact)),
        "f1": percent(sum(f1), len(f1)),
        "questions": len(exact),
    }


def _best(answers: Sequence[str], predicted: str, compare: Callable[[str, str], float]) -> float:
    # An answer of articles and punctuation alone is none; the question still counts as one that has an answer.
    usable = [answer for answer in answers if normalised_tokens(answer)] or [""]
    return max(compare(answer, predicted) for answer in usable)


def _exact_or_empty(gold: str, predicted: str) -> float:
    return float(exact_match(gold, predicted))


def _f1_or_empty(gold: str, predicted: str) -> float:
    return (
        1.0 if not normalised_tokens(gold) and not normalised_tokens(predicted) else token_f1(gold, predicted)
    )


def _best_threshold(
    gold: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    values: Mapping[str, float],
    order: Sequence[str],
    probabilities: Mapping[str, float],
) -> tuple[float, float]:
    """Begin with no question answered; let answers count one after the other, the surest first; keep the best sum."""
    total: float = sum(not answers for answers in gold.values())
    best, threshold = total, 0.0
    for name in order:
        if gold[name]:
            total += values[name]
        elif predictions[name]:
            total -= 1
        if total > best:
            best, threshold = total, probabilities[name]
    return percent(best, len(gold)), threshold


def read_questions(file: InputFile, every_question_has_answers: bool) -> dict[str, list[str]]:
    """Read SQuAD's JSON (`data` → `paragraphs` → `qas`): the gold answers of each question id."""
    questions: dict[str, list[str]] = {}
    try:
        entries = [
            (entry["id"], [answer["text"] for answer in entry["answers"]])
            for article in file.json()["data"]
            for paragraph in article["paragraphs"]
            for entry in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        file.refuse(
            f"expected SQuAD's form, data → paragraphs → qas with id and answers → text, found another ({error!r})."
        )
    for name, answers in entries:
        if not isinstance(name, str) or not all(isinstance(answer, str) for answer in answers):
            file.refuse(f"expected strings as id and as answers, found others at the id {name!r}.")
        if name in questions:
            file.refuse(f"the id {name!r} is there a second time.", file.line_of(name, 2))
        if every_question_has_answers and not answers:
            file.refuse(
                f"the question {name!r} has no answer, which SQuAD 1.1 does not have. Use --task squad2.",
                file.line_of(name),
            )
        questions[name] = answers
    if not questions:
        file.refuse("expected questions, found none.")
    return questions


def read_answers(file: InputFile) -> dict[str, str]:
    """Read the answer of each question id; an empty string is no answer."""
    answers = string_map(file, file.json(), "an object of question id to answer")
    for name, answer in answers.items():
        if not isinstance(answer, str):
            file.refuse(
                f"expected a string as answer of {name!r}, found {kind_of(answer)}. No answer is an empty string.",
                file.line_of(name),
            )
    return answers


def read_probabilities(file: InputFile) -> dict[str, float]:
    """Read the number of each question id that grows with the belief that it has no answer."""
    values = string_map(file, file.json(), "an object of question id to number")
    for name, value in values.items():
        if isinstance(value, bool | str | list | JsonObject) or value is None or value != value:
            file.refuse(f"expected a number for {name!r}, found {value!r}.", file.line_of(name))
    return values


def score_squad_files(gold_file: InputFile, predictions_file: InputFile) -> Scores:
    """Score a file of answers by SQuAD 1.1."""
    gold, answers = read_questions(gold_file, True), read_answers(predictions_file)
    require_same_ids(gold, gold_file, answers, predictions_file)
    return score_squad(gold, answers)


def score_squad2_files(
    gold_file: InputFile, predictions_file: InputFile, probabilities_file: InputFile | None, threshold: float
) -> Scores:
    """Score a file of answers by SQuAD 2.0."""
    gold, answers = read_questions(gold_file, False), read_answers(predictions_file)
    require_same_ids(gold, gold_file, answers, predictions_file)
    if probabilities_file is None:
        return score_squad2(gold, answers)
    probabilities = read_probabilities(probabilities_file)
    require_same_ids(gold, gold_file, probabilities, probabilities_file)
    return score_squad2(gold, answers, probabilities, threshold)
