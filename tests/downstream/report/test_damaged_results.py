"""Results that somebody changed, and names that are more than names."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main
from megatron_bio.downstream.report import pictures
from megatron_bio.downstream.report.read import read_inputs
from megatron_bio.downstream.report.tables import score_tables, size_table, step_table
from tests.downstream.report.sample_results import measure, report, results, written

pytest.importorskip("matplotlib")

Task = dict[str, Any]


def task_of(content: dict[str, Any]) -> Task:
    return content["tasks"]["NCBI-disease"]


def changed(change: Callable[[Any, Task], Any]) -> dict[str, Any]:
    content = results()
    change(content, task_of(content))
    return content


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda all, task: all["model"].update(parameters="many"), "model.parameters: expected int"),
        (lambda all, task: task["data"][0].pop("part"), "data[0].part: expected str, found 'nothing'"),
        (lambda all, task: task["data"][0].update(examples=True), "data[0].examples: expected int"),
        (lambda all, task: task["data"][0]["left_out"].update(odd="2"), "data[0].left_out.odd: expected int"),
        (
            lambda all, task: task["data"][0]["files"][0].pop("sha256"),
            "data[0].files[0].sha256: expected str",
        ),
        (lambda all, task: task.update(data=["x"]), "data[0]: expected dict, found 'x'"),
        (lambda all, task: task.update(grid=["x"]), "grid[0]: expected dict"),
        (lambda all, task: task["runs"][0].pop("curve"), "runs[0].curve: expected list"),
        (lambda all, task: task["runs"][0]["curve"][0].pop("epoch"), "curve[0].epoch: expected int or float"),
        (
            lambda all, task: task["runs"][0]["curve"][0].update(measure="x"),
            "curve[0].measure: expected int or",
        ),
        (
            lambda all, task: task["runs"].append(task["runs"][0]),
            "runs: expected each seed once, found [1, 1]",
        ),
        (lambda all, task: task["protocol"].pop("train_on"), "protocol.train_on: expected str"),
        (lambda all, task: task["protocol"].update(seeds=None), "protocol.seeds: expected list"),
        (lambda all, task: task["protocol"].update(settings=None), "protocol.settings: expected dict"),
        (lambda all, task: task["summary"].update(test=None), "summary.test: expected dict"),
        (lambda all, task: all.update(language_modelling=[1]), "language_modelling: expected dict"),
        (
            lambda all, task: all.update(language_modelling={"kind": "masked", "loss": float("nan")}),
            "language_modelling.loss: expected int or float, found 'nan'",
        ),
        (
            lambda all, task: all.update(language_modelling={"kind": "masked", "data": "held.jsonl"}),
            "language_modelling.data: expected dict",
        ),
        (
            lambda all, task: task["grid"][0].update(development=float("inf")),
            "grid[0].development: expected int or float",
        ),
        (
            lambda all, task: task.update(main_measure=["overall", "f2"]),
            "main_measure: expected a measure of the summary, found 'overall/f2'",
        ),
        (lambda all, task: all.update(overlap={"files": [{"task": "a"}]}), "overlap.files[0].path: expected"),
        (lambda all, task: all["model"].update(name="\ud800"), "surrogates not allowed"),
    ],
)
def test_every_field_that_is_used_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Any, Task], Any], place: str
) -> None:
    folder = written(tmp_path / "a", changed(change))
    assert main(["report", str(folder), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert place in error and str(folder / "results.json") in error
    assert not (tmp_path / "out").exists()


def test_what_need_not_be_known_may_be_missing(tmp_path: Path) -> None:
    content = results()
    content["model"].update(parameters=None, vocabulary=None)
    task_of(content)["runs"][0]["curve"][0]["measure"] = None
    assert "| first |" in report(tmp_path / "out", written(tmp_path / "a", content))[0]


def test_files_of_score_are_told_from_those_of_evaluate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "a", {"task": "ner", "options": {}, "scores": {}})
    assert main(["report", str(folder), "--output", str(tmp_path / "out")]) == 1
    assert "megatron-bio score" in capsys.readouterr().err


def test_names_are_no_formulas_no_mathematics_and_no_control_characters(tmp_path: Path) -> None:
    name = "=1+1 \\$x_{$ \0 --><b>"
    text, html = report(tmp_path / "out", written(tmp_path / "a", results(name)))
    with (tmp_path / "out" / "table-ncbi-disease-test.csv").open() as file:
        assert list(csv.reader(file))[1][0].startswith("'=1+1")
    assert "\0" not in text + html and "<b>" not in html


def test_tables_whose_titles_look_alike_have_files_of_their_own(tmp_path: Path) -> None:
    content = results()
    content["tasks"] = {name: task_of(content) for name in ("my task", "my-task", "任务", "疾病")}
    report(tmp_path / "out", written(tmp_path / "a", content))
    assert len(list((tmp_path / "out").glob("table-*test*.csv"))) == 4


def test_nothing_of_an_earlier_report_is_left(tmp_path: Path) -> None:
    output = tmp_path / "out"
    report(output, written(tmp_path / "a", results()))
    (output / "mine.csv").touch()
    content = results()
    content["tasks"] = {"GAD": task_of(content)}
    report(output, written(tmp_path / "b", content), flags=("--pictures", "false"))
    names = sorted(path.name for path in output.iterdir())
    assert "table-ncbi-disease-test.csv" not in names and "picture-1.svg" not in names
    assert {"mine.csv", "table-gad-test.csv"} <= set(names)


def test_steps_of_two_runs_are_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "_drawn_with_errors", lambda lines: drawn.append(lines) or "<svg/>")
    for run, f1 in (("one", 80.0), ("two", 60.0)):
        for step in (100, 200):
            name = f"step-{step:06}"
            written(tmp_path / run / name, results(name, step, f1))
    report(tmp_path / "out", tmp_path / "one", tmp_path / "two")
    assert drawn == [
        {
            "one: NCBI-disease, test": [(100, 80.0, 0.5), (200, 80.0, 0.5)],
            "two: NCBI-disease, test": [(100, 60.0, 0.5), (200, 60.0, 0.5)],
        }
    ]


def test_a_model_with_a_step_is_in_the_table_of_sizes_and_several_steps_of_a_run_are_not(
    tmp_path: Path,
) -> None:
    folders = [
        written(tmp_path / "a", results("alone", 100)),
        written(tmp_path / "run" / "step-100", results("step-100", 100)),
        written(tmp_path / "run" / "step-200", results("step-200", 200)),
    ]
    found, _ = read_inputs(folders)
    table = size_table(found)
    assert table is not None and [row[0] for row in table.rows if row[1]] == ["alone"]


def test_random_weights_are_named_and_have_no_step(tmp_path: Path) -> None:
    random = results("model", 100)
    random["model"]["random_weights"] = True
    found, _ = read_inputs([written(tmp_path / "a", results("model", 200)), written(tmp_path / "b", random)])
    (table,) = score_tables(found)
    assert [row[0] for row in table.rows[:2]] == ["model (random weights)", "model"]
    assert step_table(found) is None


def test_each_class_has_a_row(tmp_path: Path) -> None:
    content = results()
    task_of(content)["summary"]["test"] |= {
        "by_type/Disease/f1": measure(55.5),
        "by_type/a/b/f1": measure(44.5),
        "by_type/Disease/gold": measure(7.0),
    }
    found, _ = read_inputs([written(tmp_path / "a", content)])
    (table,) = (table for table in score_tables(found) if table.title.endswith("by type"))
    assert table.columns == ("type", "model", "f1")
    assert table.rows == (("Disease", "first", "55.50 ± 0.50"), ("a/b", "first", "44.50 ± 0.50"))


def test_a_published_number_stands_beside_ours_of_the_same_part_only(tmp_path: Path) -> None:
    content = results()
    task = task_of(content)
    task |= {"main_measure": ["overall", "accuracy"], "kind": "choices"}
    content["tasks"] = {"MedMCQA": task}
    task["summary"] = {"test": {"overall/accuracy": measure(40.0)}}
    assert "57.3" not in report(tmp_path / "out", written(tmp_path / "a", content))[0]
    task["summary"] = {"development": {"overall/accuracy": measure(40.0)}}
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    assert "| 57.3 |" in text and "| 57.3 (d) |" in text


def test_bioasq_without_squad_differs_from_the_paper(tmp_path: Path) -> None:
    content = results()
    task = task_of(content)
    task |= {"main_measure": ["factoid", "mean_reciprocal_rank"], "kind": "span questions"}
    task["summary"] = {"test": {"factoid/mean_reciprocal_rank": measure(40.0)}}
    task["protocol"]["settings"] = {"first_task": "", "epochs": 30, "learning_rate": 3e-5, "max_length": 512}
    content["tasks"] = {"BioASQ-factoid": task}
    assert (
        "Differs from ours: first task SQuAD1.1, here none."
        in report(tmp_path / "out", written(tmp_path / "a", content))[0]
    )
    task["protocol"]["settings"]["first_task"] = "SQuAD1.1"
    assert (
        "Nothing that was published differs." in report(tmp_path / "out", written(tmp_path / "a", content))[0]
    )


STUDIES: dict[str, Any] = {
    "study.json": {
        "format": 1,
        "vocabularies": {"ours": {"tokens": 30000}},
        "entities": {"BC5CDR-chem": {"entity_words": 7103, "cuts": {"ours": {"tokens_per_word": 1.5}}}},
    },
    "statistics.json": {
        "format": 1,
        "total": {"documents": 3, "words": 30, "bytes": 300},
        "by_source": {
            "pmc": {"documents": 1, "words": 10, "bytes": 100},
            "pubmed": {"documents": 2, "words": 20, "bytes": 200},
        },
    },
    "check.json": {
        "parts": [
            {
                "benchmark": "ChemProt",
                "part": "training",
                "label_bias": [{"samples": "pairs", "minority": 3, "rest": 10, "ratio": 0.3}],
            }
        ],
        "missing": {},
        "damaged": {},
    },
}


def test_what_other_verbs_counted(tmp_path: Path) -> None:
    for name, content in STUDIES.items():
        (tmp_path / name).write_text(json.dumps(content))
    text, _ = report(tmp_path / "out", tmp_path, tmp_path / "check.json")
    assert "| ours | 30,000 | BC5CDR-chem | 1.500 | 7,103 |" in text
    assert "| BioMegatron, 50k cased |  | BC5CDR-chem | 1.478 |" in text and "BC5CDR-disease" not in text
    assert "| ChemProt, training | pairs | 3 | 10 | 0.300 |" in text and "| 0.27 |" in text
    assert "|  | all sources | 30 | 3 | 300 |" in text and "6.1 billion" in text


@pytest.mark.parametrize(
    ("name", "change", "place"),
    [
        ("study.json", lambda study: study.update(format=2), "format: expected 1, found 2"),
        ("study.json", lambda study: study["vocabularies"].clear(), "vocabularies.ours: expected dict"),
        ("statistics.json", lambda study: study["total"].pop("words"), "total.words: expected int"),
        ("check.json", lambda study: study["parts"][0].pop("benchmark"), "parts[0].benchmark: expected str"),
    ],
)
def test_damaged_counts(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Callable[[Any], Any],
    place: str,
) -> None:
    content = json.loads(json.dumps(STUDIES[name]))
    change(content)
    (tmp_path / name).write_text(json.dumps(content))
    assert main(["report", str(tmp_path / name), "--output", str(tmp_path / "out")]) == 1
    assert place in capsys.readouterr().err


def test_steps_are_sorted_as_numbers_whatever_the_models_are_called(tmp_path: Path) -> None:
    for step in (800, 1000):
        written(tmp_path / "run" / f"step-{step}", results(f"step-{step}", step))
    table = step_table(read_inputs([tmp_path])[0])
    assert table is not None and [row[0] for row in table.rows] == ["800", "1,000"]


def test_results_of_one_name_are_told_apart_in_pictures_and_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def keep(lines: Any, horizontal: str, vertical: str) -> str:
        drawn.extend(name for name, _ in lines)
        return "<svg/>"

    monkeypatch.setattr(pictures, "_drawn", keep)
    random = results()
    random["model"]["random_weights"] = True
    for folder, content in (("a", results()), ("b", results()), ("c", random)):
        written(tmp_path / folder, content)
    text, _ = report(tmp_path / "out", tmp_path)
    assert len(set(drawn)) == 3 and "first (random weights)" in drawn
    headings = [line for line in text.splitlines() if line.startswith("### ") and "settings" in line]
    assert len(set(headings)) == 3


def test_how_a_language_model_was_measured(tmp_path: Path) -> None:
    content = results()
    content["language_modelling"] = {
        "kind": "masked",
        "loss": 2.0,
        "data": {"path": "held.jsonl", "sha256": "ef" * 32},
        "protocol": {"mask": "words", "seed": 77},
    }
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    methods = text.split("How it was measured")[1]
    assert "ef" * 32 in methods and "| seed | 77 |" in methods
