"""Random and adversarial predictions, the same for the same seed on every version of Python.

The official programs scored them once; `official_scores/` has what they gave. docs/scoring.md says how to repeat that.
"""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

CASES = 1200
SEED = 20_240_901
T = TypeVar("T")
Case = dict[str, Any]


class Draw:
    """Choices made of `Random.random` alone, which is the part of `random` that never changes."""

    def __init__(self, task: str, number: int) -> None:
        self._random = random.Random(SEED * 1_000_003 + number * 101 + sum(map(ord, task))).random

    def below(self, bound: int) -> int:
        return int(self._random() * bound)

    def between(self, first: int, last: int) -> int:
        return first + self.below(last - first + 1)

    def one_of(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def chance(self, probability: float) -> bool:
        return self._random() < probability


# Named entities

TYPES = ("Chemical", "Disease", "Gene-or-Protein", "")


def named_entities(number: int) -> Case:
    """Sentences of pairs [gold label, predicted label]."""
    draw = Draw("ner", number)
    kinds = TYPES[: draw.between(1, 3)] if draw.chance(0.85) else TYPES[3:]
    prefixes = draw.one_of(["BIO", "BIO", "BIOES", "IO"])
    sentences = []
    for _ in range(draw.between(1, 5)):
        length = draw.between(1, 9)
        gold = _labels(draw, length, prefixes, kinds)
        style = draw.below(6)
        if style == 0:
            predicted = _labels(draw, length, prefixes, kinds)
        elif style == 1:
            predicted = ["O"] * length
        elif style == 2:
            predicted = [_noise(draw, prefixes, kinds) for _ in gold]
        else:
            predicted = [_noise(draw, prefixes, kinds) if draw.chance(0.2) else label for label in gold]
        sentences.append([list(pair) for pair in zip(gold, predicted, strict=True)])
    return {"sentences": sentences}


def _label(prefix: str, kind: str) -> str:
    return "O" if prefix == "O" else f"{prefix}-{kind}" if kind else prefix


def _noise(draw: Draw, prefixes: str, kinds: Sequence[str]) -> str:
    return _label(draw.one_of(prefixes), draw.one_of(kinds))


def _labels(draw: Draw, length: int, prefixes: str, kinds: Sequence[str]) -> list[str]:
    if draw.chance(0.15):
        return [_noise(draw, prefixes, kinds) for _ in range(length)]
    labels: list[str] = []
    previous = None
    while len(labels) < length:
        if draw.chance(0.4):
            labels.append("O")
            previous = None
            continue
        kind, size = draw.one_of(kinds), draw.between(1, 3)
        if "S" in prefixes:
            shape = "S" if size == 1 else "B" + "I" * (size - 2) + "E"
        elif prefixes == "IO" or (_in_iob1(length) and previous != kind):
            shape = "I" * size
        else:
            shape = "B" + "I" * (size - 1)
        labels += [_label(prefix, kind) for prefix in shape]
        previous = kind
    return labels[:length]


def _in_iob1(length: int) -> bool:
    """Sentences of an even length are in IOB1, where `B` stands between neighbours of one type only."""
    return length % 2 == 0


# Relations

CLASSES = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9")
OTHERS = ("CPR:0", "CPR:1", "CPR:2", "CPR:7", "CPR:8", "CPR:10")


def chemprot(number: int) -> Case:
    """Gold and predicted relations as [article, class, Arg1, Arg2]; the gold ones differ, some predictions are repeated."""
    draw = Draw("chemprot", number)
    articles = [str(10_000_000 + draw.below(9_999)) for _ in range(draw.between(1, 3))]
    classes = CLASSES[: draw.between(1, 5)] if draw.chance(0.5) else (*CLASSES, *OTHERS)

    def relation() -> list[str]:
        chemical, protein = draw.between(1, 4), draw.between(5, 8)
        return [draw.one_of(articles), draw.one_of(classes), f"Arg1:T{chemical}", f"Arg2:T{protein}"]

    gold: list[list[str]] = []
    for _ in range(draw.between(1, 14)):
        new = relation()
        if new not in gold:
            gold.append(new)
    style = draw.below(8)
    predicted = [list(one) for one in gold if style != 0 and draw.chance(0.7)]
    if style == 1:
        predicted = [[article, "CPR:10", first, second] for article, _, first, second in gold]
    elif style == 2:
        predicted = [[article, label, second, first] for article, label, first, second in gold]
    else:
        predicted += [relation() for _ in range(draw.below(8))]
    if predicted and draw.chance(0.2):
        predicted.append(list(draw.one_of(predicted)))
    return {"gold": gold, "predictions": predicted}


# Questions

WORDS = (
    *(
        "the",
        "The",
        "a",
        "an",
        "AN",
        "aspirin",
        "Aspirin",
        "COX-1",
        "TNF-α",
        "tnfα",
        "p53",
        "interleukin-6",
        "IL‑6",
    ),
    *(
        "naïve",
        "naive",
        "ß-catenin",
        "ẞ",
        "İL",
        "5′-UTR",
        "β2",
        "10⁶",
        "“quoted”",
        '"quoted"',
        "(trial)",
        "the.",
        "a,b",
    ),
    *(
        "and",
        "theory",
        "an\u00a0atom",
        "x\u200by",
        "e\u0301",
        "é",
        "½",
        "—",
        ".",
        "...",
        "$5",
        "it's",
        "its",
        "中文",
        "ﬁn",
    ),
)


def _answer(draw: Draw, most: int = 4) -> str:
    gap = draw.one_of([" ", " ", " ", "  ", "\t", "-"])
    return gap.join(draw.one_of(WORDS) for _ in range(draw.between(1, most)))


def _predicted(draw: Draw, answers: Sequence[str]) -> str:
    style = draw.below(7)
    if style == 0 or not answers:
        return draw.one_of(["", "", " ", ".", "the", _answer(draw)])
    answer = draw.one_of(answers)
    if style == 1:
        return _answer(draw)
    if style == 2:
        return f"{draw.one_of(WORDS)} {answer}"
    if style == 3:
        return " ".join(reversed(answer.split()))
    if style == 4:
        return answer.upper()
    if style == 5:
        return f"{answer} {answer}"
    return answer


def _squad(draw: Draw, answers_of_one: Callable[[], list[str]]) -> Case:
    gold = {f"q{place}": answers_of_one() for place in range(draw.between(1, 7))}
    articles = [
        {"id": name, "question": "?", "answers": [{"text": text, "answer_start": 0} for text in answers]}
        for name, answers in gold.items()
    ]
    cut = draw.between(0, len(articles))
    data = [
        {"title": "", "paragraphs": [{"context": "", "qas": part}]}
        for part in (articles[:cut], articles[cut:])
    ]
    predictions = {name: _predicted(draw, answers) for name, answers in gold.items()}
    return {"gold": {"version": "1.1", "data": data}, "predictions": predictions}


def squad(number: int) -> Case:
    """Each question with one to four gold answers, some twice."""
    draw = Draw("squad", number)

    def answers() -> list[str]:
        texts = [_answer(draw) for _ in range(draw.between(1, 3))]
        return [*texts, texts[0]] if draw.chance(0.3) else texts

    return _squad(draw, answers)


def squad2(number: int) -> Case:
    """With questions that have no answer, or one of punctuation only; probabilities with ties, in another order."""
    draw = Draw("squad2", number)
    share = draw.one_of([0.0, 0.3, 0.5, 1.0])

    def answers() -> list[str]:
        if draw.chance(share):
            return []
        return ["the."] if draw.chance(0.05) else [_answer(draw) for _ in range(draw.between(1, 3))]

    case = _squad(draw, answers)
    names = list(case["predictions"])
    case["probabilities"] = {
        name: draw.one_of([0.0, 0.25, 0.5, 0.75, 1.0, draw.below(1000) / 1000])
        for name in (reversed(names) if draw.chance(0.5) else names)
    }
    case["threshold"] = draw.one_of([1.0, 0.5, 0.25, 0.999, -1.0])
    return case


# BioASQ

ENTITIES = (
    *(
        "TP53",
        "tp53",
        "p53",
        "Tumor protein p53",
        "tumor protein P53",
        "BRCA1",
        "brca-1",
        "IL-6",
        "interleukin 6",
        "Zürich",
    ),
    *(
        "ZÜRICH",
        "naïve T cells",
        "ΣΟΦΟΣ",
        "σοφος",
        "İL",
        "TNF-α",
        "tnf-Α",
        "",
        " p53",
        "1,25(OH)2D3",
        "A",
        "a",
        "B",
        "b",
    ),
)


def bioasq(number: int) -> Case:
    """Questions of all types, with synonyms that overlap, and answers that are empty, missing, repeated or of other case."""
    draw = Draw("bioasq", number)
    pool = ENTITIES if draw.chance(0.4) else ENTITIES[-4:]

    def names(least: int, most: int) -> list[str]:
        return [draw.one_of(pool) for _ in range(draw.between(least, most))]

    gold, predictions = [], []
    for place in range(draw.between(1, 8)):
        kind = draw.one_of(["factoid", "list", "yesno", "summary"])
        question: dict[str, Any] = {"id": f"q{place}", "type": kind, "body": "?"}
        submitted = dict(question)
        if kind == "yesno":
            question["exact_answer"] = draw.one_of(["yes", "no", "Yes", "No"])
            submitted["exact_answer"] = draw.one_of(["yes", "no", "YES", "no.", "unknown", "perhaps", ""])
        elif kind != "summary":
            question["exact_answer"] = [
                names(1, 3) for _ in range(draw.between(1, 4 if kind == "list" else 2))
            ]
            answers = [names(1, 2) for _ in range(draw.below(6))]
            answers += [[draw.one_of(one).swapcase()] for one in question["exact_answer"] if draw.chance(0.5)]
            if draw.chance(0.1):
                answers.insert(draw.below(len(answers) + 1), [])
            submitted["exact_answer"] = answers[-5:] if kind == "factoid" else answers
        if draw.chance(0.05):
            submitted.pop("exact_answer", None)
        gold.append(question)
        predictions.append(submitted)
    return {"gold": {"questions": gold}, "predictions": {"questions": predictions[::-1]}}


# Choice


def choice(number: int) -> Case:
    """Labels of PubMedQA and of multiple choice; some sets have one label only, some predictions are all wrong."""
    draw = Draw("choice", number)
    labels = draw.one_of([("yes", "no", "maybe"), ("A", "B", "C", "D"), ("1", "2")])
    usual = labels if draw.chance(0.8) else labels[:1]
    gold = {f"{10_000 + place}": draw.one_of(usual) for place in range(draw.between(1, 12))}
    style = draw.below(5)
    predictions = {}
    for name, label in gold.items():
        others = [other for other in labels if other != label]
        predictions[name] = (
            label
            if style > 1 and draw.chance(0.6)
            else draw.one_of(others)
            if style == 0
            else draw.one_of(labels)
        )
    return {"gold": gold, "predictions": predictions, "labels": list(labels)}


TASKS: dict[str, Callable[[int], Case]] = {
    "ner": named_entities,
    "chemprot": chemprot,
    "squad": squad,
    "squad2": squad2,
    "bioasq": bioasq,
    "choice": choice,
}


def cases(task: str) -> list[Case]:
    """Return all cases of a task."""
    return [TASKS[task](number) for number in range(CASES)]


def fingerprint(all_cases: list[Case]) -> str:
    """Return the sha256 of all cases of a task, which the official scores belong to."""
    return hashlib.sha256(json.dumps(all_cases).encode()).hexdigest()
