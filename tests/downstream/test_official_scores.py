"""Our scores are those that the official programs gave for the same predictions.

The programs are not part of this project: they were run once on the cases of `scorer_cases`, and `official_scores/` keeps what
they gave. docs/scoring.md says which they were.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.downstream.scorers import bioasq, chemprot, choice, named_entities, squad
from megatron_bio.downstream.scorers.input_file import InputFile
from tests.downstream import scorer_cases

FOLDER = Path(__file__).parent / "official_scores"


def in_memory(content: object) -> InputFile:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return InputFile(path=Path("memory"), text=text, sha256="")


def pairs(task: str) -> Iterator[tuple[int, dict[str, Any], dict[str, float]]]:
    """Give number, case and official scores."""
    content = json.loads(gzip.decompress((FOLDER / f"{task}.json.gz").read_bytes()))
    cases = scorer_cases.cases(task)
    assert len(cases) >= 1000
    assert content["cases"] == scorer_cases.fingerprint(cases), "these scores belong to other predictions"
    for number, (case, scores) in enumerate(zip(cases, content["scores"], strict=True)):
        yield number, case, scores


def require_equal(number: int, ours: dict[str, float], theirs: dict[str, float], scale: float = 1.0) -> None:
    """Every measure that they have is ours, of fractions if `scale` is 100; counts are not scaled."""
    counts = {"correct", "gold", "predicted"}
    for name, value in theirs.items():
        expected = value if name.partition("/")[0] in counts else scale * value
        assert ours[name] == pytest.approx(expected, abs=1e-7), f"case {number}, {name}"


def test_named_entities_are_those_of_conlleval() -> None:
    perfect = wrong = 0
    for number, case, theirs in pairs("ner"):
        gold, predictions = (
            "\n\n".join("\n".join(f"w\t{pair[which]}" for pair in sentence) for sentence in case["sentences"])
            for which in (0, 1)
        )
        scores = named_entities.score_files(in_memory(gold), in_memory(predictions))
        ours = dict(scores["overall"])
        for kind, row in scores["by_type"].items():
            ours |= {f"{measure}/{kind}": value for measure, value in row.items()}
        require_equal(number, ours, theirs)
        assert {name for name in ours if "/" in name} == {name for name in theirs if "/" in name}
        perfect += theirs["f1"] == 100
        wrong += theirs["correct"] == 0
    assert perfect and wrong, "the cases are to have both extremes"


def test_relations_are_those_of_the_kit_of_chemprot() -> None:
    for number, case, theirs in pairs("chemprot"):
        gold, predictions = (
            [chemprot.Relation(*relation) for relation in case[name]] for name in ("gold", "predictions")
        )
        scores = chemprot.score_chemprot(gold, predictions)
        ours = dict(scores["micro"])
        for label, row in scores["by_class"].items():
            ours |= {f"{measure}/{label}": value for measure, value in row.items()}
        require_equal(number, ours, theirs, scale=100)
        mean = sum(theirs[f"f1/{label}"] for label in chemprot.EVALUATED) / len(chemprot.EVALUATED)
        assert scores["macro"]["f1"] == pytest.approx(100 * mean)


def test_answers_are_those_of_squad_1() -> None:
    for number, case, theirs in pairs("squad"):
        scores = squad.score_squad_files(in_memory(case["gold"]), in_memory(case["predictions"]))
        require_equal(number, scores["overall"], theirs)


def test_answers_and_thresholds_are_those_of_squad_2() -> None:
    groups = {"": "overall", "HasAns_": "with_answer", "NoAns_": "without_answer"}
    measures = {"exact": "exact_match", "f1": "f1", "total": "questions"}
    best = {
        "exact": "exact_match",
        "exact_thresh": "exact_match_threshold",
        "f1": "f1",
        "f1_thresh": "f1_threshold",
    }
    for number, case, theirs in pairs("squad2"):
        gold, predictions = in_memory(case["gold"]), in_memory(case["predictions"])
        with_them = squad.score_squad2_files(
            gold, predictions, in_memory(case["probabilities"]), case["threshold"]
        )
        without = squad.score_squad2_files(gold, predictions, None, 1.0)
        ours = {
            f"{told}{prefix}{name}": scores[group][measure]
            for told, scores in (("", with_them), ("plain_", without))
            for prefix, group in groups.items()
            for name, measure in measures.items()
            if group in scores
        }
        ours |= {f"best_{name}": with_them["best"][measure] for name, measure in best.items()}
        require_equal(number, ours, theirs)


def test_exact_answers_are_those_of_bioasq() -> None:
    names = {
        ("yesno", "accuracy"): "yesno_accuracy",
        ("yesno", "macro_f1"): "yesno_macro_f1",
        ("yesno", "f1_yes"): "f1_yes",
        ("yesno", "f1_no"): "f1_no",
        ("factoid", "strict_accuracy"): "strict_accuracy",
        ("factoid", "lenient_accuracy"): "lenient_accuracy",
        ("factoid", "mean_reciprocal_rank"): "mrr",
        ("list", "precision"): "list_precision",
        ("list", "recall"): "list_recall",
        ("list", "f1"): "list_f1",
    }
    scored = 0
    for number, case, theirs in pairs("bioasq"):
        if all(question["type"] == "summary" for question in case["gold"]["questions"]):
            continue
        scores = bioasq.score_files(in_memory(case["gold"]), in_memory(case["predictions"]), bioasq.TYPES)
        # Of a type that the file does not have the program says 0.
        ours = {name: scores.get(kind, {}).get(measure, 0.0) for (kind, measure), name in names.items()}
        require_equal(number, ours, theirs, scale=100)
        scored += 1
    assert scored >= 1000


def test_choices_are_those_of_scikit_learn() -> None:
    for number, case, theirs in pairs("choice"):
        scores = choice.score_files(in_memory(case["gold"]), in_memory(case["predictions"]), case["labels"])
        require_equal(number, scores["overall"], theirs, scale=100)
