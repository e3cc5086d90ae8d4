"""Named entities: precision, recall and F1 of whole entities, as `conlleval` of CoNLL-2000 to 2003 counts them.

Source: E. Tjong Kim Sang, conlleval.pl, and S. Pyysalo's conlleval.py, which also knows `E-` and `S-`. An entity is right if
its first token, its last token and its type are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from megatron_bio.downstream.scorers.counts import Counts, Scores, percent
from megatron_bio.downstream.scorers.input_file import InputFile

Entity = tuple[int, int, str]
"""First token, one past the last token, type."""

_PREFIXES = frozenset("BIOES")
BOUNDARY = "-X-"


@dataclass(frozen=True)
class Token:
    """A line of a file."""

    line: int
    text: str
    label: str


def entities(labels: Sequence[str]) -> list[Entity]:
    """Return the entities of one sentence's labels, in order, whatever of IOB1, IOB2 and IOBES they are written in.

    No sequence is illegal. An entity begins at `B`, at `S`, and at `I` or `E` where none of the same type is open; it ends before
    `B`, `S`, `O` and another type, and after `E` and `S`.
    """
    found: list[Entity] = []
    start: int | None = None
    kind = ""
    closed = False
    for place, label in enumerate([*labels, "O"]):
        prefix, _, new_kind = label.partition("-")
        if start is not None and (closed or prefix in "BSO" or new_kind != kind):
            found.append((start, place, kind))
            start = None
        if start is None and prefix != "O":
            start, kind = place, new_kind
        closed = prefix in "ES"
    return found


def score_named_entities(gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> Scores:
    """Compare labels, sentence by sentence and token by token: both are sentences × tokens.

    `overall` also has the accuracy of labels; `by_type` has a row for each type that occurs in either.
    """
    correct: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    tokens = right = 0
    for gold_labels, predicted_labels in zip(gold, predictions, strict=True):
        pairs = list(zip(gold_labels, predicted_labels, strict=True))
        tokens += len(pairs)
        right += sum(first.partition("-") == second.partition("-") for first, second in pairs)
        to_find, found = set(entities(gold_labels)), set(entities(predicted_labels))
        expected.update(kind for *_, kind in to_find)
        predicted.update(kind for *_, kind in found)
        correct.update(kind for *_, kind in to_find & found)
    overall = Counts(correct=correct.total(), predicted=predicted.total(), gold=expected.total())
    return {
        "overall": {**overall.row(), "accuracy": percent(right, tokens), "tokens": tokens},
        "by_type": {
            kind: Counts(correct=correct[kind], predicted=predicted[kind], gold=expected[kind]).row()
            for kind in sorted(expected.keys() | predicted.keys())
        },
    }


def read_sentences(file: InputFile) -> list[list[Token]]:
    """Read CoNLL lines: token first, label last, between tabs or else spaces; sentences end at empty lines and `-X-`."""
    sentences: list[list[Token]] = [[]]
    for number, line in file.lines():
        columns = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or columns[0] == BOUNDARY:
            sentences.append([])
            continue
        if len(columns) < 2:
            file.refuse(f"expected a token and its label, found {line.strip()!r}.", number)
        label = columns[-1].strip()
        prefix, dash, kind = label.partition("-")
        if prefix not in _PREFIXES or (prefix == "O" and dash) or (dash and not kind):
            file.refuse(
                f"expected O, or B, I, E or S, alone or as in B-Chemical, found the label {label!r}. The last column must be the "
                "label; L- and U- of BILOU are E- and S- here.",
                number,
            )
        sentences[-1].append(Token(number, columns[0], label))
    return [sentence for sentence in sentences if sentence]


def score_files(gold_file: InputFile, predictions_file: InputFile) -> Scores:
    """Score a file of predictions that has the tokens of the gold file with predicted labels."""
    gold, predictions = read_sentences(gold_file), read_sentences(predictions_file)
    for expected, found in zip(gold, predictions, strict=False):
        for token, other in zip(expected, found, strict=False):
            if token.text != other.text:
                predictions_file.refuse(
                    f"expected the token {token.text!r} ({gold_file.path}, line {token.line}), found {other.text!r}.",
                    other.line,
                )
        if len(expected) != len(found):
            predictions_file.refuse(
                f"expected a sentence of {len(expected)} tokens ({gold_file.path}, line {expected[0].line}), "
                f"found one of {len(found)}. Predict a label for every token, also of long sentences.",
                found[0].line,
            )
    if len(gold) != len(predictions):
        predictions_file.refuse(
            f"expected the {len(gold):,} sentences of {gold_file.path}, found {len(predictions):,}."
        )
    return score_named_entities(_labels(gold), _labels(predictions))


def _labels(sentences: list[list[Token]]) -> list[list[str]]:
    return [[token.label for token in sentence] for sentence in sentences]
