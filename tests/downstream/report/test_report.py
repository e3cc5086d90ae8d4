import copy
import csv
import re
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main
from megatron_bio.downstream.report import pictures
from megatron_bio.downstream.report.published import PUBLISHED, of_task
from megatron_bio.downstream.tasks.known import KNOWN
from tests.downstream.report.sample_results import report, results, written

pytest.importorskip("matplotlib")


def test_our_numbers_stand_beside_published_ones_with_their_difference(tmp_path: Path) -> None:
    text, html = report(tmp_path / "out", written(tmp_path / "a", results()))
    assert "| first | 88.00 ± 0.50 | 87.00 ± 0.50 | trained on train, 30 epochs" in text
    assert re.search(r"BioMegatron 345m bio-30k .*\| 87\.1 \|", text)
    assert "learning rate 5e-05" in text and "Not published: training data, batch size, seeds" in text
    assert re.search(r"BioMegatron 345m bio-30k .*\| 87\.1 \| 85\.6 \|", text), "their precision"
    assert "overall/correct" not in text.split("How it was measured")[0]
    with (tmp_path / "out" / "table-ncbi-disease-test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["overall/f1"] == "88.00 ± 0.50" and len(rows) == 1 + len(
        of_task("NCBI-disease", "test", "overall/f1")
    )
    assert re.search(r"BioLinkBERT-large .*\| 88\.76 \|.*epochs 10", text)
    assert "<svg" in html and "cd" * 32 in html and "odd: 2" in html


def test_other_epochs_than_published_are_said(tmp_path: Path) -> None:
    content = results()
    content["tasks"]["NCBI-disease"]["protocol"]["settings"]["epochs"] = 5
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    assert "Differs from ours: epochs 30, here 5;" in text


def test_what_else_was_done_stands_in_the_row(tmp_path: Path) -> None:
    content = results()
    protocol = content["tasks"]["NCBI-disease"]["protocol"]
    protocol["early_stopping"] = 3
    protocol["settings"] |= {"first_task": "BC2GM", "imbalance": "dice"}
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    assert "grid of 2 on development, first task BC2GM, imbalance dice, early stopping 3 |" in text


def test_a_protocol_that_is_not_published_does_not_pass_for_ours(tmp_path: Path) -> None:
    content = results()
    content["tasks"] = {"BC2GM": content["tasks"]["NCBI-disease"]}
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    assert "PubMedBERT" in text and "Its protocol is not published; ours may differ in all." in text
    assert "Nothing that was published differs" not in text


def test_development_scores_have_no_published_ones_beside_them(tmp_path: Path) -> None:
    content = results()
    summary = content["tasks"]["NCBI-disease"]["summary"]
    summary["development"] = summary.pop("test")
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    assert "NCBI-disease, development" in text and "BioMegatron" not in text


def test_steps(tmp_path: Path) -> None:
    for step, f1 in ((200, 80.0), (100, 70.0)):
        written(tmp_path / "steps" / f"step-{step}", results("step", step, f1))
    text, html = report(tmp_path / "out", tmp_path / "steps")
    rows = [line for line in text.splitlines() if line.startswith(("| 100 |", "| 200 |"))]
    assert ["70.00" in rows[0], "80.00" in rows[1]] == [True, True]
    assert "Main measures against pretraining steps" in html


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>|x $y$ _z"
    text, html = report(tmp_path / "out", written(tmp_path / "a", results(name)))
    assert "<script" not in html.replace("&lt;script", "")
    rows = [line for line in text.splitlines() if "alert" in line]
    assert rows and all("\\<script" in row and "\\|x" in row for row in rows)


def test_two_results_of_one_name_are_told_apart_and_one_file_counts_once(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", results()), written(tmp_path / "b", results(f1=70.0))
    text, _ = report(tmp_path / "out", first, second, first / "results.json")
    ours = [line for line in text.split("### Vocab")[0].splitlines() if line.startswith("| first")]
    assert len(ours) == 2 and "a/results.json" in ours[0] and "b/results.json" in ours[1]


def test_language_modelling(tmp_path: Path) -> None:
    content = results() | {
        "tasks": {},
        "language_modelling": {"kind": "masked", "loss": 2.5, "perplexity": 12.2, "tokens": 4321},
    }
    text, _ = report(tmp_path / "out", written(tmp_path / "a", content))
    assert re.search(r"\| first \| masked \| 2\.500 \| 12\.200 \|.*4,321", text)


def test_the_same_bytes_again(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", results())
    assert report(tmp_path / "one", folder) == report(tmp_path / "two", folder)


def test_without_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    folder = written(tmp_path / "a", results())
    assert main(["report", str(folder), "--output", str(tmp_path / "out")]) == 1
    assert "megatron-bio[eval]" in capsys.readouterr().err
    assert "<svg" not in report(tmp_path / "out", folder, flags=("--pictures", "false"))[1]


def broken(change: str) -> Any:
    content = copy.deepcopy(results())
    match change:
        case "form":
            content["form"] = "others"
        case "version":
            content["version"] = 2
        case "missing":
            del content["tasks"]["NCBI-disease"]["summary"]
        case "nan":
            content["tasks"]["NCBI-disease"]["summary"]["test"]["overall/f1"]["mean"] = float("nan")
        case "list":
            return [1]
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("form", "form: expected"),
        ("version", "version: expected 1, found 2, of a later megatron-bio. Update"),
        ("missing", r"tasks\.NCBI-disease\.summary: expected dict, found 'nothing'"),
        ("nan", r"summary\.test\.overall/f1\.mean: expected int or float, found 'nan'"),
        ("list", "form: expected str"),
    ],
)
def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, message: str) -> None:
    folder = written(tmp_path / "a", broken(change))
    assert main(["report", str(folder), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and "results.json" in error
    assert not (tmp_path / "out").exists()


def test_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "found none" in capsys.readouterr().err


def test_published_numbers_are_of_our_tasks_and_measures() -> None:
    for row in PUBLISHED:
        task = KNOWN[row.task].make(row.task)
        assert "/".join(task.main_measure) == row.measure, row
        assert 0 < row.value < 100
