"""A task after another one, questions of the user's own, and a threshold that development data decide."""

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import torch
from safetensors.torch import load_file

from megatron_bio.downstream.readers.question_forms import SpanQuestion
from megatron_bio.downstream.tasks.span_decoding import FoundAnswers
from megatron_bio.downstream.tasks.span_questions import SquadTask

CONTEXT = "Aspirin lowers fever in human platelets. " * 40
"""More pieces than the tiny model reads, 128."""


def squad(path: Path, *, unanswerable: bool = False) -> None:
    answers = [{"text": "fever", "answer_start": CONTEXT.index("fever")}]
    questions: list[dict[str, Any]] = [{"id": "q", "question": "What?", "answers": answers}]
    if unanswerable:
        questions.append({"id": "none", "question": "Who?", "answers": [], "is_impossible": True})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": CONTEXT, "qas": questions}]}]}))


def evaluate(model: Path, tmp_path: Path, *flags: str) -> int:
    words = ["evaluate", "--data_dir", tmp_path / "data", "--output", tmp_path / "out", "--model", model]
    words += ["--cpu", "--seeds", "1", "--epochs", "1", "--batch_sizes", "8", "--max_length", "96", *flags]
    return main([str(word) for word in words])


def results(tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tmp_path / "out" / "results.json").read_text())
    return content["tasks"]


def test_a_first_task_has_rows_that_the_model_reads_and_the_head_of_the_next(
    tiny_bert: Path, tmp_path: Path
) -> None:
    for name in ("train-v1.1.json", "dev-v1.1.json"):
        squad(tmp_path / "data" / "SQuAD" / name)
    for name in ("train-v2.0.json", "dev-v2.0.json"):
        squad(tmp_path / "data" / "SQuAD" / name, unanswerable=True)
    flags = ("--tasks", "SQuAD2.0", "--first_task", "SQuAD1.1", "--head_size", "16", "--stride", "8")
    assert evaluate(tiny_bert, tmp_path, *flags) == 0
    protocol = results(tmp_path)["SQuAD2.0"]["protocol"]
    first = protocol["first_settings"]
    shared = {name: first[name] for name in ("max_length", "stride", "head_layers", "head_size")}
    assert shared == {"max_length": 96, "stride": 8, "head_layers": 2, "head_size": 16}
    assert (first["epochs"], first["batch_size"], first["first_task"]) == (10, 64, "")
    assert protocol["settings"]["first_task"] == "SQuAD1.1"


def test_the_next_task_starts_with_all_weights_of_the_first_its_head_too(
    tiny_bert: Path, tmp_path: Path
) -> None:
    for name in ("train-v1.1.json", "dev-v1.1.json"):
        squad(tmp_path / "data" / "SQuAD" / name)
    for name in ("train-v2.0.json", "dev-v2.0.json"):
        squad(tmp_path / "data" / "SQuAD" / name, unanswerable=True)
    flags = ("--tasks", "SQuAD2.0", "--first_task", "SQuAD1.1", "--head_size", "16")
    assert evaluate(tiny_bert, tmp_path, *flags, "--learning_rates", "1e-12", "--keep_models") == 0
    first, second = (
        load_file(*(tmp_path / "out" / "runs" / name).glob("*/*.safetensors"))
        for name in ("SQuAD1.1", "SQuAD2.0")
    )
    assert sum(name.startswith("layers.") for name in first) == 4
    assert {name for name in first if not torch.allclose(first[name], second[name], atol=1e-9)} == set()
    before = load_file(tiny_bert / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert not torch.allclose(first["backbone.embeddings.word_embeddings.weight"], before, atol=1e-6)


def test_a_first_task_without_a_training_part_is_refused(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    squad(tmp_path / "data" / "SQuAD" / "dev-v1.1.json")
    for name in ("train-v2.0.json", "dev-v2.0.json"):
        squad(tmp_path / "data" / "SQuAD" / name, unanswerable=True)
    assert evaluate(tiny_bert, tmp_path, "--tasks", "SQuAD2.0", "--first_task", "SQuAD1.1") != 0
    error = capsys.readouterr().err
    assert "--first_task SQuAD1.1: expected a training part, found development." in error


@pytest.mark.parametrize("kind", ["squad", "squad2"])
def test_questions_of_ones_own(tiny_bert: Path, tmp_path: Path, kind: str) -> None:
    for name in ("train.json", "dev.json"):
        squad(tmp_path / "data" / "mine" / name, unanswerable=kind == "squad2")
    assert evaluate(tiny_bert, tmp_path, "--tasks", f"{kind}:mine") == 0
    task = results(tmp_path)[f"{kind}:mine"]
    assert task["protocol"]["first_settings"] is None
    scores = task["runs"][0]["parts"]["development"]["scores"]
    assert scores["overall"]["questions"] == (2 if kind == "squad2" else 1)
    assert ("without_answer" in scores) == (kind == "squad2")


def test_a_question_without_an_answer_is_refused_by_squad(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train.json", "dev.json"):
        squad(tmp_path / "data" / "mine" / name, unanswerable=True)
    assert evaluate(tiny_bert, tmp_path, "--tasks", "squad:mine") != 0
    assert "question none" in capsys.readouterr().err


def test_development_data_decide_the_threshold_of_the_test_part_alone(
    tiny_bert: Path, tmp_path: Path
) -> None:
    for name in ("train.json", "dev.json", "test.json"):
        squad(tmp_path / "data" / "mine" / name, unanswerable=True)
    with (tmp_path / "data" / "mine" / "test.json").open("a") as file:
        file.write("\n")  # or it would be refused as a copy
    assert evaluate(tiny_bert, tmp_path, "--tasks", "squad2:mine") == 0
    (run,) = results(tmp_path)["squad2:mine"]["runs"]
    development, test = (run["parts"][part]["scores"] for part in ("development", "test"))
    assert test["decided"]["no_answer_threshold"] == development["best"]["f1_threshold"] != 0.5
    assert test["overall"]["f1"] == development["best"]["f1"]  # the same questions
    assert development["decided"] == {"no_answer_threshold": 0.5}
    assert development["overall"]["f1"] == run["curve"][-1]["measure"]


def test_a_decided_threshold_leaves_the_name() -> None:
    question = SpanQuestion(id="q", question="Who?", context="mice", answers=(), impossible=True)
    found = FoundAnswers(answers=(), no_answer_probability=0.7)
    tuned = SquadTask("squad2:mine", unanswerable=True).tuned([question], [found])
    assert tuned.name == "squad2:mine"
