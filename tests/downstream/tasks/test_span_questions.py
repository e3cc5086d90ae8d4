import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_bio.cli import main
from megatron_bio.corpus.errors import DamagedFileError

pytest.importorskip("transformers")

from megatron_bio.downstream.readers.question_forms import SpanQuestion
from megatron_bio.downstream.tasks.form import measure_of
from megatron_bio.downstream.tasks.span_questions import SPAN_SETTINGS, SquadTask
from megatron_bio.downstream.tasks.span_windows import pieces_of
from tests.downstream.tasks.question_models import DATA, bert, gpt, knowing_logits, real_bert

FIRST, SECOND = SquadTask(unanswerable=False), SquadTask(unanswerable=True)
SMALL = replace(SPAN_SETTINGS, max_length=48, stride=12)
CONTEXT = (
    "Aspirin (ASA) lowers fever. Human platelets need cyclooxygenase, which aspirin inhibits for good. " * 2
)


def squad(tmp_path: Path, *, context: str = CONTEXT, impossible: bool = False, answers: bool = True) -> Path:
    questions: list[dict[str, Any]] = [
        {
            "id": f"q{number}",
            "question": "What?",
            "answers": [{"text": text, "answer_start": context.index(text)}],
        }
        for number, text in enumerate(("Aspirin (ASA)", "fever", "cyclooxygenase") if answers else ())
    ]
    if not answers:
        questions.append({"id": "q0", "question": "What?", "answers": []})
    if impossible:
        questions.append({"id": "none", "question": "Who?", "answers": [], "is_impossible": True})
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}))
    return path


def read(task: SquadTask, path: Path) -> tuple[SpanQuestion, ...]:
    return task.read({"development": (path,)})["development"].examples


def known(examples: tuple[SpanQuestion, ...]) -> dict[tuple[int, int], Any]:
    return {
        (index, 0): [(question.context, question.answers[0])]
        for index, question in enumerate(examples)
        if question.answers
    }


@pytest.mark.parametrize("make", [bert, gpt])
def test_a_model_that_knows_the_answers_has_all_of_them(tmp_path: Path, make: Any) -> None:
    examples, tokenizer = read(SECOND, squad(tmp_path, impossible=True)), make()
    encoded = SECOND.encode(examples, tokenizer, SMALL, (), training=False)
    assert len(encoded.features) > len(examples)
    found = SECOND.predictions(examples, encoded, knowing_logits(encoded, known(examples), tokenizer), ())
    scores = SECOND.score(examples, found)
    assert measure_of(scores, SECOND.main_measure) == 100
    assert scores["without_answer"]["exact_match"] == 100
    assert scores["decided"] == {"no_answer_threshold": 0.5}


def test_the_files_give_the_same_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(3)
    for task, name in ((FIRST, "squad"), (SECOND, "squad2")):
        examples = read(task, squad(tmp_path, impossible=task is SECOND)) * 1
        encoded = task.encode(examples, bert(), SMALL, (), training=False)
        outputs = [
            random.normal(size=(2, len(row["input_ids"]))).astype(np.float32) for row in encoded.features
        ]
        for output in outputs[::2]:
            output[:, 0] += 9
        found = task.predictions(examples, encoded, outputs, ())
        task.write(examples, found, tmp_path / name)
        words = ["score", "--task", name, "--gold", tmp_path / name / "gold.json"]
        words += ["--predictions", tmp_path / name / "predictions.json", "--output", tmp_path / "scores.json"]
        if task is SECOND:
            words += ["--no_answer_probabilities", tmp_path / name / "no_answer_probabilities.json"]
            words += ["--no_answer_threshold", "0.5"]
        assert main([str(word) for word in words]) == 0
        scores = task.score(examples, found)
        scores.pop("decided", None)
        assert json.loads((tmp_path / "scores.json").read_text())["scores"] == scores
        assert 0 <= measure_of(scores, task.main_measure) < 100
        assert task.read({"test": (tmp_path / name / "gold.json",)})["test"].examples == examples


def test_the_threshold_is_the_best_of_development_data(tmp_path: Path) -> None:
    examples, tokenizer = read(SECOND, squad(tmp_path, impossible=True)), bert()
    encoded = SECOND.encode(examples, tokenizer, SMALL, (), training=False)
    outputs = knowing_logits(encoded, known(examples), tokenizer, knows_nothing=0)
    for output in outputs:
        output[:, 0] += 12  # "no answer" is too high for all, but still lower for those with one
    found = SECOND.predictions(examples, encoded, outputs, ())
    before, tuned = SECOND.score(examples, found), SECOND.tuned(examples, found)
    assert measure_of(before, SECOND.main_measure) == 25
    assert 0.5 < tuned.threshold < 1
    assert measure_of(tuned.score(examples, found), SECOND.main_measure) == before["best"]["f1"] == 100
    assert FIRST.tuned(examples, found) is FIRST


def test_training_takes_the_first_gold_answer(tmp_path: Path) -> None:
    examples = read(FIRST, squad(tmp_path))
    encoded = FIRST.encode(examples, bert(), SPAN_SETTINGS, (), training=True)
    found = [
        CONTEXT[
            place.starts[row["start_positions"] - place.first] : place.ends[
                row["end_positions"] - place.first
            ]
        ]
        for row, place in zip(encoded.features, encoded.places, strict=True)
    ]
    assert found == [question.answers[0].text for question in examples]


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (FIRST, {"impossible": True}, r"dev\.json.*question none: .*found an impossible question.*SQuAD2\.0"),
        (SECOND, {"answers": False}, r"dev\.json.*question q0: expected gold answers or .*found neither"),
        (SECOND, {"context": "  ", "answers": False}, r"dev\.json.*question q0: .*found a blank one"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    tmp_path: Path, task: SquadTask, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DamagedFileError, match=message):
        read(task, squad(tmp_path, **changes))


def test_an_id_of_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    with pytest.raises(DamagedFileError, match="question q0: expected an id that no other file has"):
        FIRST.read({"train": (squad(tmp_path), squad(tmp_path / "more"))})


@pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs ../shared/data")
def test_real_questions_with_the_vocabulary_of_bert() -> None:
    """All 4,190 gold answers are found again; 6 are longer than an answer may be, which costs 0.04 of 100."""
    tokenizer = real_bert(DATA / "vocab" / "bert-uncased.txt")
    examples = read(SECOND, DATA / "qa" / "squad2-dev-half.json.gz")
    begin = time.perf_counter()
    encoded = SECOND.encode(examples, tokenizer, SPAN_SETTINGS, (), training=False)
    assert time.perf_counter() - begin < 30
    pieces = pieces_of([question.context for question in examples], tokenizer)
    longer = 0
    for question in examples:
        for gold in question.answers:
            covering = pieces[question.context].covering(gold)
            assert covering is not None
            starts, ends = pieces[question.context].starts, pieces[question.context].ends
            found = question.context[starts[covering[0]] : ends[covering[1]]]
            assert gold.text.strip() in found
            longer += found != gold.text.strip()
    assert longer == 7
    found = SECOND.predictions(examples, encoded, knowing_logits(encoded, known(examples), tokenizer), ())
    scores = SECOND.score(examples, found)
    assert scores["without_answer"]["f1"] == 100
    assert 99.9 < scores["overall"]["f1"] < 100
    missed = [
        question.answers[0].text
        for question, one in zip(examples, found, strict=True)
        if question.answers and one.answers[0].text != question.answers[0].text
    ]
    assert len(missed) == 6
    assert [text for text in missed if len(text) < 100] == ["Japan"]
