"""One label per question (MedQA, MedMCQA, PubMedQA): accuracy and macro-averaged F1.

Sources: PubMedQA's evaluation.py, which takes accuracy and macro F1 of scikit-learn (Q. Jin et al. 2019, arXiv 1909.06146); MedQA
(arXiv 2009.13081) and MedMCQA (arXiv 2203.14371) report accuracy.
"""

from collections.abc import Mapping, Sequence

from megatron_bio.downstream.scorers.counts import Counts, Scores, percent
from megatron_bio.downstream.scorers.input_file import InputFile, JsonObject, require_same_ids, string_map


def score_choices(gold: Mapping[str, str], predictions: Mapping[str, str]) -> Scores:
    """Score labels by question id. Macro F1 is the mean over the labels that occur in `gold` or in `predictions`."""
    pairs = [(label, predictions[name]) for name, label in gold.items()]
    rows = {
        label: Counts(
            correct=sum(first == second == label for first, second in pairs),
            predicted=sum(second == label for _, second in pairs),
            gold=sum(first == label for first, _ in pairs),
        ).row()
        for label in sorted({label for pair in pairs for label in pair})
    }
    right = sum(first == second for first, second in pairs)
    overall = {
        "accuracy": percent(right, len(pairs)),
        "macro_f1": sum(row["f1"] for row in rows.values()) / len(rows),
        "correct": right,
        "questions": len(pairs),
    }
    return {"overall": overall, "by_label": rows}


def read_labels(file: InputFile) -> dict[str, str]:
    """Read an object of JSON of id to label, or lines `id TAB label`. A whole number is a label too."""
    if file.text.lstrip().startswith(("{", "[")):
        return _labels_of_json(file)
    labels: dict[str, str] = {}
    for number, line in file.lines():
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            file.refuse(f"expected an id and a label between a tab, found {line!r}.", number)
        name, label = columns
        if name in labels:
            file.refuse(f"the id {name!r} is there a second time.", number)
        labels[name] = label
    return labels


def _labels_of_json(file: InputFile) -> dict[str, str]:
    value = file.json()
    if isinstance(value, JsonObject) and any(
        isinstance(label, JsonObject | list) for label in value.values()
    ):
        file.refuse("expected an object of id to label, found objects or arrays as labels.")
    labels = string_map(file, value, "an object of id to label")
    for name, label in labels.items():
        if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
            file.refuse(f"expected a label for {name!r}, found {label!r}.", file.line_of(name))
    return {name: str(label) for name, label in labels.items()}


def score_files(gold_file: InputFile, predictions_file: InputFile, known: Sequence[str]) -> Scores:
    """Score a file of labels. Labels other than those `known`, or without these than those of the gold file, are refused."""
    gold, predictions = read_labels(gold_file), read_labels(predictions_file)
    require_same_ids(gold, gold_file, predictions, predictions_file)
    accepted = list(known) or sorted(set(gold.values()))
    for file, labels in ((gold_file, gold), (predictions_file, predictions)):
        for name, label in labels.items():
            if label not in accepted:
                file.refuse(
                    f"expected one of the labels {', '.join(accepted[:20])}, found {label!r} at the id {name!r}. "
                    "--labels names labels that the gold file happens not to have.",
                    _line_of_id(file, name),
                )
    return score_choices(gold, predictions)


def _line_of_id(file: InputFile, name: str) -> int | None:
    lines = (number for number, line in file.lines() if line.split("\t")[0].strip() == name)
    return file.line_of(name) or next(lines, None)
