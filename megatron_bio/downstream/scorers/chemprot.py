"""Relations of ChemProt: micro-averaged F1 over five classes, as BioCreative VI's evaluation kit counts.

Source: M. Krallinger et al., Overview of the BioCreative VI chemical-protein interaction track (2017), and its kit
`bc6chemprot_eval`. A relation is right if article, class and both arguments are. Pairs without a relation and the classes that
the track did not evaluate count nowhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

from megatron_bio.downstream.scorers.counts import Counts, Scores
from megatron_bio.downstream.scorers.input_file import InputFile

EVALUATED = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9")
_NEGATIVE = "FALSE"
_KNOWN = frozenset([*(f"CPR:{number}" for number in range(11)), _NEGATIVE])
_COLUMNS = 4


class Relation(NamedTuple):
    """A pair of entities of an article and the class of their relation."""

    article: str
    label: str
    chemical: str
    protein: str


def score_chemprot(gold: Sequence[Relation], predictions: Sequence[Relation]) -> Scores:
    """Compare relations; those of other classes than the five are left out.

    A repeated prediction counts once as right and each time as predicted, as in the kit. `macro` is the mean of the five classes'
    rows; the kit has no such measure.
    """
    rows = {label: _counts(gold, predictions, (label,)).row() for label in EVALUATED}
    mean = {
        name: sum(row[name] for row in rows.values()) / len(rows) for name in ("precision", "recall", "f1")
    }
    return {"micro": _counts(gold, predictions, EVALUATED).row(), "macro": mean, "by_class": rows}


def _counts(gold: Sequence[Relation], predictions: Sequence[Relation], labels: tuple[str, ...]) -> Counts:
    to_find = [relation for relation in gold if relation.label in labels]
    predicted = [relation for relation in predictions if relation.label in labels]
    found = set(predicted)
    return Counts(
        correct=sum(relation in found for relation in to_find), predicted=len(predicted), gold=len(to_find)
    )


def read_relations(file: InputFile) -> list[Relation]:
    """Read lines `article TAB class TAB Arg1:T… TAB Arg2:T…`, the form of ChemProt's gold standard."""
    lines: dict[Relation, int] = {}
    for number, line in file.lines():
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != _COLUMNS:
            file.refuse(
                f"expected article, class, Arg1:T… and Arg2:T… between tabs, found {len(columns)} columns.",
                number,
            )
        relation = Relation(columns[0], columns[1].upper(), columns[2], columns[3])
        if relation.label not in _KNOWN:
            file.refuse(f"expected CPR:0 to CPR:10 or false, found the class {columns[1]!r}.", number)
        if not relation.chemical.startswith("Arg1:") or not relation.protein.startswith("Arg2:"):
            file.refuse(
                f"expected the chemical as Arg1:T… and then the protein as Arg2:T…, found {columns[2]!r} and {columns[3]!r}.",
                number,
            )
        if relation in lines:
            file.refuse(
                f"the relation of line {lines[relation]} is there a second time; give it once.", number
            )
        lines[relation] = number
    return list(lines)


def score_files(gold_file: InputFile, predictions_file: InputFile) -> Scores:
    """Score a file of predicted relations. Articles without gold relations may be in it: their relations are wrong."""
    gold = read_relations(gold_file)
    if not any(relation.label in EVALUATED for relation in gold):
        gold_file.refuse(f"expected relations of {', '.join(EVALUATED)}, found none of them.")
    predictions = read_relations(predictions_file)
    known = {relation.article for relation in gold}
    if not known & {relation.article for relation in predictions}:
        predictions_file.refuse(
            f"none of its articles is in {gold_file.path}. Is that the gold file of these predictions?"
        )
    return score_chemprot(gold, predictions)
