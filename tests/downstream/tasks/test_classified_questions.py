"""PubMedQA and BioASQ's yes/no questions as rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.downstream.data_check.look import look_into
from megatron_bio.downstream.tasks.classified_questions import (
    NO_ANSWER,
    NOT_CHOSEN,
    OTHER_TYPE,
    QUESTION_CUT,
    REPEATED,
    TEXT_CUT,
    BioASQYesNoTask,
    PubMedQATask,
)
from megatron_bio.downstream.tasks.known import named_tasks
from megatron_bio.downstream.tasks.parts import IN_ANOTHER_PART

transformers = pytest.importorskip("transformers")

DECISIONS = ("yes", "no", "maybe")
SETTINGS = replace(PubMedQATask.defaults, max_length=128)
CONTEXTS = ["Aspirin inhibits cyclooxygenase.", "No effect in mice was found."]


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def abstracts(*pmids: int, **others: object) -> dict[str, Any]:
    return {
        str(pmid): {
            "QUESTION": f"Does aspirin lower fever {pmid}?",
            "CONTEXTS": CONTEXTS,
            "LABELS": ["BACKGROUND", "RESULTS"],
            "LONG_ANSWER": "It does.",
            "final_decision": DECISIONS[pmid % 3],
            **others,
        }
        for pmid in pmids
    }


def asked(name: str, answer: str | None = "yes", kind: str = "yesno", snippets: int = 2) -> dict[str, Any]:
    question = {"id": name, "type": kind, "body": f"Is {name} aspirin?"}
    question["snippets"] = [{"text": text, "document": "1"} for text in CONTEXTS[:snippets]]
    return question if answer is None else {**question, "exact_answer": answer}


def golden(path: Path, *questions: dict[str, Any]) -> Path:
    return written(path, {"questions": questions})


def read_pubmedqa(folder: Path):
    ((task, files),) = named_tasks(["PubMedQA"], look_into(folder), look_into)
    return task.read(files)


def ids(parts) -> dict[str, list[str]]:
    return {part: [example.id for example in found.examples] for part, found in parts.items()}


def test_rows_of_question_and_abstract(bert, gpt, tmp_path: Path) -> None:
    task = PubMedQATask()
    examples = task.read({"test": (written(tmp_path / "test.json", abstracts(3)),)})["test"].examples
    question, text = "Does aspirin lower fever 3?", " ".join(CONTEXTS)
    (row,) = task.encode(examples, bert, SETTINGS, task.labels({}), training=True).features
    expected = bert(question, text)
    assert row == {"labels": 0, **{key: expected[key] for key in ("input_ids", "token_type_ids")}}
    (row,) = task.encode(examples, gpt, SETTINGS, task.labels({}), training=False).features
    assert gpt.decode(row["input_ids"]) == f"{text} {question}"
    assert row.keys() == {"input_ids"}


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_the_text_is_cut_at_its_end(request, name: str, tmp_path: Path) -> None:
    task, tokenizer = PubMedQATask(), request.getfixturevalue(name)
    content = (
        abstracts(1, CONTEXTS=["fever " * 200, "mice"])
        | abstracts(2)
        | abstracts(4, QUESTION="mice " * 200 + "?")
    )
    examples = task.read({"test": (written(tmp_path / "test.json", content),)})["test"].examples
    settings = replace(SETTINGS, max_length=100)
    encoded = task.encode(examples, tokenizer, settings, task.labels({}), training=False)
    assert dict(encoded.shortened) == {TEXT_CUT: 1, QUESTION_CUT: 1}
    long, short, question = [tokenizer.decode(row["input_ids"]) for row in encoded.features]
    assert len(encoded.features[0]["input_ids"]) == len(encoded.features[2]["input_ids"]) == 100
    assert "aspirin lower fever 1" in long and "mice" not in long
    assert name == "bert" or long.endswith(" Does aspirin lower fever 1?")
    assert "was found" in short
    assert question.endswith(("? [SEP] [SEP]", "?"))


def test_gold_logits_and_written_decisions(bert, tmp_path: Path) -> None:
    task = PubMedQATask()
    examples = task.read({"test": (written(tmp_path / "test.json", abstracts(1, 2, 3, 4)),)})["test"].examples
    labels = task.labels({})
    encoded = task.encode(examples, bert, SETTINGS, labels, training=True)
    outputs = [np.eye(3, dtype=np.float32)[row["labels"]] for row in encoded.features]
    assert (
        task.score(examples, task.predictions(examples, encoded, outputs, labels))["overall"]["accuracy"]
        == 100
    )
    outputs[0] = np.eye(3, dtype=np.float32)[2]
    predicted = task.predictions(examples, encoded, outputs, labels)
    assert predicted == ("maybe", "maybe", "yes", "no")
    scores = task.score(examples, predicted)
    assert scores["overall"]["accuracy"] == 75
    task.write(examples, predicted, tmp_path / "out")
    assert scored("choice", tmp_path / "out") == scores


def scored(task: str, folder: Path, *flags: str) -> dict[str, Any]:
    files = [f"--{name}={folder / name}.json" for name in ("gold", "predictions")]
    assert main(["score", "--task", task, *files, "--output", str(folder / "scores.json"), *flags]) == 0
    return json.loads((folder / "scores.json").read_text())["scores"]


def test_one_labelled_file_has_a_development_tenth(tmp_path: Path) -> None:
    written(tmp_path / "ori_pqal.json", abstracts(*range(100, 140)))
    parts = read_pubmedqa(tmp_path)
    assert {part: len(found) for part, found in ids(parts).items()} == {"train": 36, "development": 4}
    written(tmp_path / "ori_pqal.json", abstracts(*reversed(range(100, 140))))
    assert {part: set(found) for part, found in ids(read_pubmedqa(tmp_path)).items()} == {
        part: set(found) for part, found in ids(parts).items()
    }


def test_decisions_choose_the_test_questions(tmp_path: Path) -> None:
    content = abstracts(*range(100, 140))
    written(tmp_path / "ori_pqal.json", content)
    decisions = {str(pmid): DECISIONS[pmid % 3] for pmid in range(120, 140)}
    written(tmp_path / "test_ground_truth.json", decisions)
    parts = read_pubmedqa(tmp_path)
    found = ids(parts)
    assert found["test"] == list(decisions)
    assert sorted(found["train"] + found["development"]) == [str(pmid) for pmid in range(100, 120)]
    assert parts["train"].left_out == {IN_ANOTHER_PART: 20}
    assert [file.path.name for file in parts["test"].files] == ["test_ground_truth.json"]


def test_decisions_beside_a_test_part(tmp_path: Path) -> None:
    written(tmp_path / "train_set.json", abstracts(1, 2))
    written(tmp_path / "test_set.json", abstracts(3, 4))
    written(tmp_path / "test_ground_truth.json", {"4": "no"})
    parts = read_pubmedqa(tmp_path)
    assert ids(parts)["test"] == ["4"]
    assert parts["test"].left_out == {NOT_CHOSEN: 1}


def test_decisions_that_do_not_fit(tmp_path: Path) -> None:
    files = {
        "train": (written(tmp_path / "ori_pqal.json", abstracts(1, 2)),),
        "test": (written(tmp_path / "test_ground_truth.json", {"9": "yes"}),),
    }
    with pytest.raises(
        ConfigurationError, match=r"test_ground_truth\.json: .*found 1 without, the first PMID 9"
    ):
        PubMedQATask().read(files)
    written(tmp_path / "test_ground_truth.json", {"1": "maybe"})
    with pytest.raises(
        ConfigurationError, match=r"decision of PMID 1 in the file of questions, no, found maybe"
    ):
        PubMedQATask().read(files)


def test_damaged_abstracts_are_named(tmp_path: Path) -> None:
    for content, message in (
        (abstracts(1, final_decision="perhaps"), "PMID 1: expected yes, no or maybe"),
        (abstracts(1, LABELS=["RESULTS"]), "PMID 1: expected at least one of CONTEXTS and as many LABELS"),
    ):
        file = written(tmp_path / "train.json", content)
        with pytest.raises(DamagedFileError, match=rf"train\.json.*{message}"):
            PubMedQATask().read({"train": (file,)})
    file = written(tmp_path / "train.json", abstracts(1))
    with pytest.raises(ConfigurationError, match="expected each id once, found '1' again"):
        PubMedQATask().read({"train": (file, file)})


def test_a_part_under_two_names_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "dev.json", abstracts(1, 2, 3, 4))
    with pytest.raises(ConfigurationError, match=r"dev\.json: expected a development part .*found all 4"):
        PubMedQATask().read({"development": (file,), "test": (file,)})


def test_golden_files_by_year(tmp_path: Path) -> None:
    golden(tmp_path / "5B1_golden.json", *(asked(f"a{number}") for number in range(20)), asked("both"))
    golden(tmp_path / "5B2_golden.json", asked("a1"), asked("summary", None, "summary"), asked("open", None))
    golden(tmp_path / "6B1_golden.json", asked("both", "no"), asked("new"))
    ((task, files),) = named_tasks(["BioASQ-yesno"], look_into(tmp_path), look_into)
    parts = task.read(files)
    found = ids(parts)
    assert found["test"] == ["both", "new"]
    assert (len(found["train"]), len(found["development"])) == (18, 2)
    assert parts["train"].left_out == {IN_ANOTHER_PART: 1, REPEATED: 1, OTHER_TYPE: 1, NO_ANSWER: 1}


def test_a_part_without_yes_no_questions_is_not_there(tmp_path: Path) -> None:
    files = {
        "train": (golden(tmp_path / "train.json", asked("a"), asked("b", "no")),),
        "test": (golden(tmp_path / "test.json", asked("c", None, "summary")),),
    }
    assert list(BioASQYesNoTask().read(files)) == ["train", "development"]


def test_rows_of_question_and_snippets(bert, tmp_path: Path) -> None:
    task = BioASQYesNoTask()
    file = golden(tmp_path / "test.json", asked("a", "No."), asked("b", snippets=0))
    examples = task.read({"test": (file,)})["test"].examples
    labels = task.labels({})
    first, second = task.encode(examples, bert, SETTINGS, labels, training=True).features
    assert first["input_ids"] == bert("Is a aspirin?", " ".join(CONTEXTS))["input_ids"]
    assert second["input_ids"] == [*bert("Is b aspirin?")["input_ids"], bert.sep_token_id]
    assert [labels[row["labels"]] for row in (first, second)] == ["no", "yes"]


def test_a_repeated_snippet_is_read_once(bert, tmp_path: Path) -> None:
    task, question = BioASQYesNoTask(), asked("a")
    question["snippets"].append({"text": f"{CONTEXTS[0]} ", "document": "2"})
    examples = task.read({"test": (golden(tmp_path / "test.json", question),)})["test"].examples
    (row,) = task.encode(examples, bert, SETTINGS, task.labels({}), training=False).features
    assert row["input_ids"] == bert("Is a aspirin?", " ".join(CONTEXTS))["input_ids"]


def test_yes_no_scores_and_files(bert, tmp_path: Path) -> None:
    task = BioASQYesNoTask()
    file = golden(tmp_path / "test.json", asked("a"), asked("b", "no"), asked("c"), asked("d", "no"))
    examples = task.read({"test": (file,)})["test"].examples
    labels = task.labels({})
    encoded = task.encode(examples, bert, SETTINGS, labels, training=True)
    outputs = [np.eye(2, dtype=np.float32)[row["labels"]] for row in encoded.features]
    gold = task.predictions(examples, encoded, outputs, labels)
    assert task.score(examples, gold)["yesno"]["macro_f1"] == 100
    predicted = ("yes", "yes", "yes", "no")
    scores = task.score(examples, predicted)
    assert scores["yesno"]["accuracy"] == 75
    task.write(examples, predicted, tmp_path / "out")
    assert scored("bioasq", tmp_path / "out", "--question_types", "yesno") == scores


def test_damaged_golden_files_are_named(tmp_path: Path) -> None:
    file = golden(tmp_path / "train.json", asked("a"), asked("b", "perhaps"))
    with pytest.raises(DamagedFileError, match=r"train\.json.*questions\[1\]: expected yes or no"):
        BioASQYesNoTask().read({"train": (file,)})
