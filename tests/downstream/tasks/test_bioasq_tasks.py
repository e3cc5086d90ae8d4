import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError

pytest.importorskip("transformers")

from megatron_bio.downstream.readers.bioasq import NO_EXACT_ANSWER
from megatron_bio.downstream.tasks.bioasq_factoid import BioASQFactoidTask
from megatron_bio.downstream.tasks.bioasq_list import BioASQListTask
from megatron_bio.downstream.tasks.bioasq_snippets import (
    IN_NO_SNIPPET,
    NOTHING_TO_READ,
    REPEATED_SNIPPET,
    NamedAnswer,
    SnippetQuestion,
    tidied,
)
from megatron_bio.downstream.tasks.bioasq_task import SnippetTask
from megatron_bio.downstream.tasks.form import Encoded, Logits, Settings, measure_of
from megatron_bio.downstream.tasks.parts import IN_ANOTHER_PART
from megatron_bio.downstream.tasks.span_windows import WindowPlace
from tests.downstream.tasks.question_models import DATA, bert, knowing_logits, real_bert

FACTOID, LIST = BioASQFactoidTask(), BioASQListTask()
SMALL = replace(FACTOID.defaults, max_length=48, stride=12)


def question(name: str, kind: str, answers: list[list[str]], *snippets: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": kind,
        "body": "What lowers fever?",
        "exact_answer": answers,
        "snippets": [{"text": text} for text in snippets],
    }


def golden(tmp_path: Path, name: str, *questions: dict[str, Any]) -> Path:
    path = tmp_path / f"{name}_golden.json"
    path.write_text(json.dumps({"questions": questions}), encoding="utf-8")
    return path


def snippet_file(tmp_path: Path, *triples: tuple[str, str, str]) -> Path:
    """A file in SQuAD's form: id, context, answer."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": name,
                    "question": "Q",
                    "answers": [{"text": text, "answer_start": context.index(text)}],
                }
            ],
        }
        for name, context, text in triples
    ]
    path = tmp_path / "BioASQ-train-factoid-7b-snippet.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    return path


def known(
    task: SnippetTask, examples: tuple[SnippetQuestion, ...], tokenizer: Any, settings: Settings = SMALL
) -> tuple[Encoded[WindowPlace], list[Logits]]:
    encoded = task.encode(examples, tokenizer, settings, (), training=False)
    answers: dict[tuple[int, int], Any] = {}
    for index, example in enumerate(examples):
        for text, found in example.places:
            answers.setdefault((index, text), []).append((example.snippets[text], found))
    return encoded, knowing_logits(encoded, answers, tokenizer)


def two_batches(tmp_path: Path, kind: str) -> tuple[Path, ...]:
    """The second question's answer is in no snippet, the third has no snippets."""
    things = [["aspirin", "ASA"]] if kind == "factoid" else [["aspirin", "ASA"], ["heparin"]]
    return (
        golden(
            tmp_path,
            "6B1",
            question(
                "a", kind, things, "We gave Aspirin to mice.", "In mice, heparin and ASA.", "Nothing here."
            ),
            question("b", kind, [["warfarin"]], "Mice got none."),
        ),
        golden(tmp_path, "6B2", question("c", kind, [["mice"]]), question("d", "yesno", "yes", "Mice.")),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("task", [FACTOID, LIST])
def test_a_model_that_knows_the_answers_finds_those_in_snippets(tmp_path: Path, task: SnippetTask) -> None:
    part = task.read({"test": two_batches(tmp_path, task.question_kind)})["test"]
    assert part.left_out == {NOTHING_TO_READ: 1}
    encoded, outputs = known(task, part.examples, bert())
    assert {place.example for place in encoded.places} == {0, 1, 2}
    found = task.predictions(part.examples, encoded, outputs, ())
    assert {answer.text for answer in found[0][:2]} >= {"Aspirin", "ASA"} if task is FACTOID else {"ASA"}
    assert found[2] == ()
    scores = task.score(part.examples, found)
    if task is FACTOID:
        assert scores["factoid"]["strict_accuracy"] == pytest.approx(100 / 3)
        assert scores["by_batch"]["6B1"]["strict_accuracy"] == 50
        assert scores["by_batch"]["6B2"]["mean_reciprocal_rank"] == 0
    assert measure_of(scores, task.main_measure) > 0


@pytest.mark.parametrize("task", [FACTOID, LIST])
def test_the_files_give_the_same_scores(tmp_path: Path, task: SnippetTask) -> None:
    examples = task.read({"test": two_batches(tmp_path, task.question_kind)})["test"].examples
    encoded, outputs = known(task, examples, bert())
    random = np.random.default_rng(2)
    noisy = [output + random.normal(size=output.shape).astype(np.float32) for output in outputs]
    found = task.predictions(examples, encoded, noisy, ())
    task.write(examples, found, tmp_path / "out")
    scores = task.score(examples, found)
    for folder, row in ((".", scores[task.question_kind]), *scores["by_batch"].items()):
        words = ["score", "--task", "bioasq", "--question_types", task.question_kind]
        words += [
            "--gold",
            str(tmp_path / "out" / folder / "gold.json"),
            "--output",
            str(tmp_path / "scores.json"),
        ]
        assert main([*words, "--predictions", str(tmp_path / "out" / folder / "predictions.json")]) == 0
        assert json.loads((tmp_path / "scores.json").read_text())["scores"] == {task.question_kind: row}
    submitted = json.loads((tmp_path / "out" / "predictions.json").read_text())["questions"]
    assert [len(entry["exact_answer"]) <= 5 for entry in submitted] == [True] * 3


def test_probabilities_of_a_name_are_added_over_snippets_in_any_case_of_letters(tmp_path: Path) -> None:
    path = golden(
        tmp_path, "6B1", question("a", "factoid", [["x"]], "aspirin", "Aspirin.", "fever", "aspirin")
    )
    part = FACTOID.read({"test": (path,)})["test"]
    assert part.left_out == {REPEATED_SNIPPET: 1}
    encoded = FACTOID.encode(part.examples, bert(), SMALL, (), training=False)
    outputs = [np.zeros((2, len(row["input_ids"])), np.float32) for row in encoded.features]
    outputs[1][:, encoded.places[1].first] = 20
    (found,) = FACTOID.predictions(part.examples, encoded, outputs, ())
    assert found[0].text in ("Aspirin", "aspirin")
    assert found[0].probability == pytest.approx(2, abs=1e-6)
    assert NamedAnswer(text="fever", probability=1.0) in found


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("TP53,", "TP53"),
        ("TP53.", "TP53"),
        ("(TP53)", "TP53"),
        ("p53 (TP53)", "p53 (TP53)"),
        ("(a) and (b)", "(a) and (b)"),
        ("p53 (TP53", ""),
        ("TP53)", ""),
        ("x" * 101, ""),
        (".", ""),
    ],
)
def test_answers_are_tidied(answer: str, name: str) -> None:
    assert tidied(answer) == name


def test_training_leaves_out_what_the_test_has_and_what_no_snippet_answers(tmp_path: Path) -> None:
    train = golden(
        tmp_path,
        "5B1",
        question("a", "factoid", [["aspirin"]], "aspirin"),
        question("e", "factoid", [["aspirin", "ASA"]], "ASA is aspirin.", "none"),
        question("f", "factoid", [["warfarin"]], "none"),
        *(question(f"g{number}", "factoid", [["ASA"]], "ASA") for number in range(8)),
    )
    old = snippet_file(
        tmp_path, ("a_001", "a dog", "dog"), ("h_001", "a cat", "cat"), ("h_002", "The cat.", "cat")
    )
    parts = FACTOID.read({"train": (train, old), "test": two_batches(tmp_path, "factoid")})
    names = {part: {example.id for example in found.examples} for part, found in parts.items()}
    assert names["train"] | names["development"] == {"e", "h", *(f"g{number}" for number in range(8))}
    assert len(names["development"]) == 1
    assert not names["train"] & names["development"]
    assert parts["train"].left_out == {IN_NO_SNIPPET: 1, IN_ANOTHER_PART: 1}
    every = parts["train"].examples + parts["development"].examples
    both = [example for example in every if example.id in ("e", "h")]
    encoded = FACTOID.encode(both, bert(), SMALL, (), training=True)
    learnt = sorted(
        both[place.example].snippets[place.text][
            place.starts[row["start_positions"] - place.first] : place.ends[
                row["end_positions"] - place.first
            ]
        ]
        for row, place in zip(encoded.features, encoded.places, strict=True)
    )
    assert learnt == ["ASA", "aspirin", "cat", "cat"]


def test_a_development_part_that_is_given_is_taken(tmp_path: Path) -> None:
    parts = FACTOID.read(
        {
            "train": (golden(tmp_path, "4B1", question("x", "factoid", [["ASA"]], "ASA")),),
            "development": (golden(tmp_path, "5B1", question("y", "factoid", [["ASA"]], "ASA")),),
        }
    )
    assert {part: found.examples[0].id for part, found in parts.items()} == {"train": "x", "development": "y"}


def test_a_file_without_such_questions_is_refused(tmp_path: Path) -> None:
    path = golden(tmp_path, "6B1", question("d", "yesno", "yes", "Mice."))  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match=r"6B1_golden\.json: expected list questions with exact answers"
    ):
        LIST.read({"test": (path,)})


def test_a_question_of_two_test_files_is_refused(tmp_path: Path) -> None:
    same = question("a", "factoid", [["ASA"]], "ASA")
    with pytest.raises(ConfigurationError, match=r"6B1_golden.json, .*6B2_golden.json: .*found 'a' again"):
        FACTOID.read({"test": (golden(tmp_path, "6B1", same), golden(tmp_path, "6B2", same))})


def test_a_list_has_what_is_above_the_threshold_or_the_best_one() -> None:
    found = [
        NamedAnswer(text=text, probability=value) for text, value in (("a", 0.5), ("b", 0.43), ("c", 0.42))
    ]
    assert LIST.chosen(found) == ["a", "b"]
    assert BioASQListTask(threshold=0.9).chosen(found) == ["a"]
    assert LIST.chosen([]) == []


def test_the_threshold_of_lists_is_the_best_of_development_data(tmp_path: Path) -> None:
    path = golden(tmp_path, "6B1", question("a", "list", [["x"], ["y"]], "x"))
    examples = LIST.read({"test": (path,)})["test"].examples
    found = (
        tuple(NamedAnswer(text=text, probability=p) for text, p in (("x", 0.3), ("y", 0.2), ("z", 0.1))),
    )
    assert measure_of(LIST.score(examples, found), LIST.main_measure) == pytest.approx(200 / 3)
    tuned = LIST.tuned(examples, found)
    assert tuned.threshold == 0.19
    assert tuned.score(examples, found)["list"]["f1"] == 100
    assert tuned.score(examples, found)["decided"] == {"threshold": 0.19}


@pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs ../shared/data")
def test_real_questions_with_the_vocabulary_of_bert() -> None:
    """BioASQ 6B: of 161 factoid questions 119 have their answer in a snippet, 6 of these a sentence that is no name."""
    files = sorted((DATA / "qa").glob("bioasq-*"))
    latest = tuple(path for path in files if "-6B" in path.name)
    earlier = tuple(path for path in files if "-6B" not in path.name)
    train = (*earlier, DATA / "qa" / "bioasq7b-train-factoid-snippet.json.gz")
    parts = FACTOID.read({"train": train, "test": latest})
    assert {part: len(found.examples) for part, found in parts.items()} == {
        "train": 393,
        "development": 43,
        "test": 161,
    }
    assert parts["train"].left_out[IN_ANOTHER_PART] == 120
    examples = parts["test"].examples
    assert sum(bool(example.places) for example in examples) == 119
    tokenizer = real_bert(DATA / "vocab" / "bert-uncased.txt")
    encoded, outputs = known(FACTOID, examples, tokenizer, FACTOID.defaults)
    scores = FACTOID.score(examples, FACTOID.predictions(examples, encoded, outputs, ()))
    assert len(scores["by_batch"]) == 5
    assert scores["factoid"]["lenient_accuracy"] == pytest.approx(100 * 113 / 161)


def test_questions_of_squads_form_without_an_answer_are_not_scored(tmp_path: Path) -> None:
    asked = golden(tmp_path, "5B1", question("a", "factoid", [["aspirin"]], "Aspirin lowers fever."))
    unanswered = {"id": "c_001", "question": "Q"}
    paragraphs = [{"context": "Aspirin is a drug.", "qas": [unanswered]}]
    given = snippet_file(tmp_path, ("b_001", "Metformin lowers it.", "Metformin"))
    content = json.loads(given.read_text(encoding="utf-8"))
    content["data"].append({"paragraphs": paragraphs})
    given.write_text(json.dumps(content), encoding="utf-8")
    test = FACTOID.read({"train": (asked,), "test": (given,)})["test"]
    assert [example.id for example in test.examples] == ["b"]
    assert test.left_out == {NO_EXACT_ANSWER: 1}
