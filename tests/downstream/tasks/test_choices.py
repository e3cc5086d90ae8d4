"""MedQA and MedMCQA as rows for each option."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.downstream.tasks.choices import NO_RIGHT_ANSWER, OPTIONS_CUT, QUESTION_CUT, ChoiceTask

transformers = pytest.importorskip("transformers")

QUESTION = "No effect of ibuprofen was found in mice. Which lowers fever?"
SETTINGS = replace(ChoiceTask.defaults, max_length=128)


def medqa(question: str = QUESTION, *options: str, right: str = "B") -> dict[str, Any]:
    texts = options or ("Renal failure", "Aspirin", "Metformin")
    return {"question": question, "options": dict(zip("ABCDE", texts, strict=False)), "answer_idx": right}


def medmcqa(right: int | None, name: str = "q") -> dict[str, Any]:
    options = dict(zip(("opa", "opb", "opc", "opd"), ("fever", "aspirin", "mice", "platelets"), strict=True))
    return {"id": f"{name}{right}", "question": f"{name} {right}", **options, "cop": right}


def written(path: Path, *questions: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    return path


def examples_of(tmp_path: Path, *questions: dict[str, Any]):
    file = written(tmp_path / "dev.jsonl", *questions)
    return ChoiceTask("MedQA").read({"development": (file,)})["development"].examples


def texts_of(tokenizer, row) -> list[str]:
    return [tokenizer.decode(pieces) for pieces in row["input_ids"]]


def test_a_row_for_each_option(bert, gpt, tmp_path: Path) -> None:
    examples = examples_of(tmp_path, medqa())
    (row,) = ChoiceTask("MedQA").encode(examples, bert, SETTINGS, (), training=True).features
    assert texts_of(bert, row) == [
        f"[CLS] {text} [SEP] {option} [SEP]"
        for text in [bert.decode(bert(QUESTION, add_special_tokens=False)["input_ids"])]
        for option in ("renal failure", "aspirin", "metformin")
    ]
    assert row["labels"] == 1
    expected = [bert(QUESTION, option) for option in examples[0].options]
    assert row["input_ids"] == [each["input_ids"] for each in expected]
    assert row["token_type_ids"] == [each["token_type_ids"] for each in expected]
    (row,) = ChoiceTask("MedQA").encode(examples, gpt, SETTINGS, (), training=False).features
    assert texts_of(gpt, row) == [f"{QUESTION} {option}" for option in examples[0].options]
    assert row.keys() == {"input_ids"}


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_the_end_of_a_long_question_is_kept_for_all_options(request, name: str, tmp_path: Path) -> None:
    tokenizer = request.getfixturevalue(name)
    examples = examples_of(
        tmp_path, medqa("human " * 90 + QUESTION, "aspirin", "headache improved"), medqa("Which?")
    )
    settings = replace(SETTINGS, max_length=30)
    encoded = ChoiceTask("MedQA").encode(examples, tokenizer, settings, (), training=False)
    assert dict(encoded.shortened) == {QUESTION_CUT: 1}
    row = encoded.features[0]
    assert max(map(len, row["input_ids"])) == 30
    first, second = texts_of(tokenizer, row)
    assert first.endswith(("aspirin [SEP]", " aspirin"))
    assert "lowers fever?" in second.replace(" ?", "?")
    assert first.split("fever")[0].removeprefix("[CLS] ") == second.split("fever")[0].removeprefix("[CLS] ")


def test_a_long_option_leaves_the_question_a_piece(bert, tmp_path: Path) -> None:
    examples = examples_of(tmp_path, medqa(QUESTION, "aspirin " * 50, "mice"))
    settings = replace(SETTINGS, max_length=12)
    encoded = ChoiceTask("MedQA").encode(examples, bert, settings, (), training=False)
    assert dict(encoded.shortened) == {QUESTION_CUT: 1, OPTIONS_CUT: 1}
    first, second = texts_of(bert, encoded.features[0])
    assert (first, second) == (f"[CLS] ? [SEP] {'aspirin ' * 8}[SEP]", "[CLS] ? [SEP] mice [SEP]")


def test_too_short_rows_are_refused(bert, tmp_path: Path) -> None:
    examples = examples_of(tmp_path, medqa())
    with pytest.raises(ConfigurationError, match=r"--max_length: expected at least 5"):
        ChoiceTask("MedQA").encode(examples, bert, replace(SETTINGS, max_length=4), (), training=True)


def test_gold_logits_and_written_files(bert, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = ChoiceTask("MedQA")
    examples = examples_of(
        tmp_path, medqa(), medqa(QUESTION, "fever", "mice", right="A"), medqa(right="C"), medqa()
    )
    encoded = task.encode(examples, bert, SETTINGS, (), training=True)
    outputs = [np.eye(len(row["input_ids"]), dtype=np.float32)[row["labels"]] for row in encoded.features]
    assert [len(each) for each in outputs] == [3, 2, 3, 3]
    assert (
        task.score(examples, task.predictions(examples, encoded, outputs, ()))["overall"]["accuracy"] == 100
    )
    outputs[0] = -outputs[0]
    predicted = task.predictions(examples, encoded, outputs, ())
    assert predicted == (0, 0, 2, 1)
    scores = task.score(examples, predicted)
    assert scores["overall"]["accuracy"] == 75
    task.write(examples, predicted, tmp_path / "out")
    flags = [f"--{name}={tmp_path / 'out' / name}.json" for name in ("gold", "predictions")]
    assert main(["score", "--task", "choice", *flags, "--output", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["scores"] == scores
    assert json.loads((tmp_path / "out" / "gold.json").read_text()) == {
        "1": "2",
        "2": "1",
        "3": "3",
        "4": "2",
    }


def test_questions_without_a_right_answer(tmp_path: Path) -> None:
    files = {
        "train": (
            written(
                tmp_path / "train.jsonl", *(medmcqa(right % 5 or None, f"{right}") for right in range(40))
            ),
        ),
        "test": (written(tmp_path / "test.jsonl", medmcqa(None), medmcqa(-1)),),
    }
    parts = ChoiceTask("MedMCQA").read(files)
    assert list(parts) == ["train", "development"]
    assert parts["train"].left_out == {NO_RIGHT_ANSWER: 8}
    assert (len(parts["train"].examples), len(parts["development"].examples)) == (29, 3)
    assert {question.correct for question in parts["train"].examples} == {0, 1, 2, 3}


def test_several_files_of_a_part(tmp_path: Path) -> None:
    first, second = (written(tmp_path / f"{name}.jsonl", medqa(name)) for name in "ab")
    found = ChoiceTask("mine").read({"test": (first, second)})["test"].examples
    assert [question.id for question in found] == ["a.jsonl:1", "b.jsonl:1"]
    with_four = written(tmp_path / "4_options" / "a.jsonl", medqa("a", "aspirin", "mice"))
    with pytest.raises(
        ConfigurationError, match=r"4_options/a\.jsonl: .* those of .*a\.jsonl, found 1 of its 1 again"
    ):
        ChoiceTask("mine").read({"test": (first, second, with_four)})


def test_an_id_is_there_once(tmp_path: Path) -> None:
    file = written(tmp_path / "dev.jsonl", medmcqa(1), medmcqa(4), medmcqa(1))
    with pytest.raises(ConfigurationError, match=r"dev\.jsonl: expected each id once, found 'q1' again"):
        ChoiceTask("mine").read({"development": (file,)})


def test_damaged_files_are_named(tmp_path: Path) -> None:
    good = json.dumps(medqa())
    for text, message in (
        (f"{good}\n{json.dumps(medqa(right='E'))}\n", "line 2: expected a letter"),
        (f"{good}\n{{\n", "line 2, column"),
        ('{"questions": []}\n', "expected questions with options in the form of MedQA"),
        ("", "no content"),
    ):
        file = tmp_path / "train.jsonl"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DamagedFileError, match=rf"train\.jsonl.*{message}"):
            ChoiceTask("MedQA").read({"train": (file,)})
