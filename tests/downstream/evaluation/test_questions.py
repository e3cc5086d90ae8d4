"""Questions from data to results.json: SQuAD 2.0, and BioASQ after SQuAD 1.1."""

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

CONTEXTS = {
    "Aspirin inhibits cyclooxygenase in human platelets and lowers fever.": ("What lowers fever?", "Aspirin"),
    "Tumor necrosis factor alpha mediates chronic inflammation in mice.": ("Where is it?", "mice"),
    "Does metformin lower HbA1c? Yes, in type 2 diabetes mellitus.": ("What is lower?", "HbA1c"),
}


def squad(path: Path, unanswerable: bool) -> None:
    paragraphs = []
    for number, (context, (question, answer)) in enumerate(CONTEXTS.items()):
        found = [{"text": answer, "answer_start": context.index(answer)}]
        questions: list[dict[str, Any]] = [{"id": f"q{number}", "question": question, "answers": found}]
        if unanswerable:
            questions.append(
                {"id": f"n{number}", "question": "No ibuprofen?", "answers": [], "is_impossible": True}
            )
        paragraphs.append({"context": context, "qas": questions})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8")


def golden(path: Path, year: int) -> None:
    questions = [
        {
            "id": f"{year}{kind}{number}",
            "type": kind,
            "body": question,
            "exact_answer": [[answer]],
            "snippets": [{"text": context}],
        }
        for kind in ("factoid", "list")
        for number, (context, (question, answer)) in enumerate(CONTEXTS.items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"questions": questions}), encoding="utf-8")


def test_questions_are_learnt_and_results_say_what_was_decided(tiny_bert: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for version in ("1.1", "2.0"):
        for part in ("train", "dev"):
            squad(data / "SQuAD" / f"{part}-v{version}.json", unanswerable=version == "2.0")
    for year in (4, 5, 6):
        golden(data / "BioASQ" / f"{year}B1_golden.json", year)
    common = ["evaluate", "--data_dir", str(data), "--model", str(tiny_bert), "--cpu", "--seeds", "1"]
    common += ["--batch_sizes", "4", "--learning_rates", "3e-3", "--max_length", "64", "--epochs", "12"]
    assert main([*common, "--tasks", "SQuAD2.0", "BioASQ-list", "--output", str(out)]) == 0
    tasks = json.loads((out / "results.json").read_text())["tasks"]
    (run,) = tasks["SQuAD2.0"]["runs"]
    scores = run["parts"]["development"]["scores"]
    assert scores["overall"]["f1"] > 60
    assert scores["decided"] == {"no_answer_threshold": 0.5}
    parts = tasks["BioASQ-list"]["runs"][0]["parts"]
    assert parts["development"]["scores"]["decided"] == {"threshold": 0.42}
    assert parts["test"]["scores"]["decided"].keys() == {"threshold"}
    assert set(parts["test"]["scores"]["by_batch"]) == {"6B1"}
    examples = {part["part"]: part["examples"] for part in tasks["BioASQ-list"]["data"]}
    assert examples == {"train": 5, "development": 1, "test": 3}

    flags = ["--tasks", "BioASQ-factoid", "--first_task", "SQuAD1.1", "--output", str(tmp_path / "two")]
    assert main([*common, *flags]) == 0
    task = json.loads((tmp_path / "two" / "results.json").read_text())["tasks"]["BioASQ-factoid"]
    assert task["protocol"]["settings"]["first_task"] == "SQuAD1.1"
    assert task["main_measure"] == ["factoid", "mean_reciprocal_rank"]
    assert task["summary"]["test"]["factoid/mean_reciprocal_rank"]["mean"] > 50
