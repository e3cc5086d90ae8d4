"""The verb `score`: what it prints and writes, and what it says of files that cannot be scored."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from megatron_bio import __version__
from megatron_bio.cli import main
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.score import ScoreOptions
from megatron_bio.downstream.scorers.errors import ScoringError
from megatron_bio.downstream.scorers.input_file import InputFile
from megatron_bio.downstream.scorers.named_entities import entities
from megatron_bio.downstream.scorers.score import score

GOLD: dict[str, Any] = {
    "ner": "Aspirin\tB-Chemical\nacid\tI-Chemical\nhelps\tO\n\nFever\tB-Disease\n",
    "chemprot": "10\tCPR:4\tArg1:T1\tArg2:T5\n10\tCPR:3\tArg1:T2\tArg2:T5\n",
    "squad": {"data": [{"paragraphs": [{"qas": [{"id": "q1", "answers": [{"text": "the liver"}]}]}]}]},
    "squad2": {
        "data": [
            {
                "paragraphs": [
                    {"qas": [{"id": "q1", "answers": [{"text": "liver"}]}, {"id": "q2", "answers": []}]}
                ]
            }
        ]
    },
    "bioasq": {
        "questions": [
            {"id": "b1", "type": "factoid", "exact_answer": [["TP53", "p53"]]},
            {"id": "b2", "type": "yesno", "exact_answer": "yes"},
            {"id": "b3", "type": "list", "exact_answer": [["IL-6"], ["TNF"]]},
            {"id": "b4", "type": "summary", "ideal_answer": "…"},
        ]
    },
    "choice": {"1": "yes", "2": "no"},
}
PREDICTIONS: dict[str, Any] = {
    "ner": "Aspirin\tB-Chemical\nacid\tI-Chemical\nhelps\tO\n\nFever\tO\n",
    "chemprot": "10\tCPR:4\tArg1:T1\tArg2:T5\n10\tfalse\tArg1:T2\tArg2:T5\n",
    "squad": {"q1": "Liver."},
    "squad2": {"q1": "liver", "q2": "kidney"},
    "bioasq": {
        "questions": [
            {"id": "b3", "exact_answer": [["il-6"]]},
            {"id": "b1", "exact_answer": [["BRCA1"], ["P53"]]},
            {"id": "b2", "exact_answer": "yes"},
        ]
    },
    "choice": "1\tyes\n2\tyes\n",
}
EXPECTED: dict[str, dict[tuple[str, str], float]] = {
    "ner": {("overall", "precision"): 100, ("overall", "recall"): 50, ("overall", "accuracy"): 75},
    "chemprot": {("micro", "precision"): 100, ("micro", "recall"): 50, ("macro", "f1"): 20},
    "squad": {("overall", "exact_match"): 100, ("overall", "f1"): 100},
    "squad2": {("overall", "f1"): 50, ("without_answer", "f1"): 0},
    "bioasq": {
        ("factoid", "strict_accuracy"): 0,
        ("factoid", "lenient_accuracy"): 100,
        ("factoid", "mean_reciprocal_rank"): 50,
        ("yesno", "accuracy"): 100,
        ("yesno", "macro_f1"): 50,
        ("list", "precision"): 100,
        ("list", "recall"): 50,
    },
    "choice": {("overall", "accuracy"): 50, ("overall", "macro_f1"): 100 / 3},
}


def written(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    path.write_text(text, encoding="utf-8")
    return path


def options_for(folder: Path, task: Any, gold: Any, predictions: Any, **more: Any) -> ScoreOptions:
    return ScoreOptions(
        task=task,
        gold=written(folder / "gold", gold),
        predictions=written(folder / "predicted", predictions),
        **more,
    )


@pytest.mark.parametrize("task", GOLD)
def test_each_task_is_scored_by_hand_and_written(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "results.json"
    options = options_for(tmp_path, task, GOLD[task], PREDICTIONS[task], output=output)
    score(options)
    results = json.loads(output.read_text(encoding="utf-8"))
    for (group, measure), value in EXPECTED[task].items():
        assert results["scores"][group][measure] == pytest.approx(value), (group, measure)
    assert results["task"] == task and results["versions"]["megatron_bio"] == __version__
    for name, path in (("gold", options.gold), ("predictions", options.predictions)):
        assert results[name] == {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert not list(output.parent.glob(".*"))
    shown = capsys.readouterr().out
    for group, measure in EXPECTED[task]:
        assert group in shown and measure in shown
    lines = shown.split("\n\nWrote")[0].splitlines()
    assert len({len(line) for line in lines[:2]}) == 1, "heading and numbers end in the same column"


def test_command_line_and_compressed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = tmp_path / "gold.tsv.gz"
    gold.write_bytes(gzip.compress(GOLD["ner"].replace("\n", "\r\n").encode("utf-8-sig")))
    predictions = written(tmp_path / "predicted.tsv", PREDICTIONS["ner"])
    assert main(["score", "--task", "ner", "--gold", str(gold), "--predictions", str(predictions)]) in (
        0,
        None,
    )
    assert "Chemical" in capsys.readouterr().out
    arguments = [
        "score",
        "--task",
        "ner",
        "--gold",
        str(tmp_path / "none"),
        "--predictions",
        str(predictions),
    ]
    assert main(arguments) == 1
    assert f"{tmp_path / 'none'}: cannot be read" in capsys.readouterr().err


def test_entities_of_every_notation() -> None:
    same = [(0, 2, "X"), (2, 3, "X"), (4, 5, "Y")]
    assert entities(["B-X", "I-X", "B-X", "O", "B-Y"]) == same
    assert entities(["I-X", "I-X", "B-X", "O", "I-Y"]) == same
    assert entities(["B-X", "E-X", "S-X", "O", "S-Y"]) == same
    assert entities(["B", "I", "O"]) == [(0, 2, "")]
    assert entities(["O", "I-X", "I-Y", "E-Y", "I-Y"]) == [(1, 2, "X"), (2, 4, "Y"), (4, 5, "Y")]


def test_bioasq_scores_the_types_that_are_asked_for(tmp_path: Path) -> None:
    only = {"questions": [PREDICTIONS["bioasq"]["questions"][1]]}
    output = tmp_path / "results.json"
    score(options_for(tmp_path, "bioasq", GOLD["bioasq"], only, question_types=["factoid"], output=output))
    assert list(json.loads(output.read_text(encoding="utf-8"))["scores"]) == ["factoid"]
    with pytest.raises(
        ScoringError, match=r"predicted: the ids 'b2', 'b3' are missing, of 3 in .*gold \(line 1\d\)"
    ):
        score(options_for(tmp_path, "bioasq", GOLD["bioasq"], only))


def test_a_submission_may_be_flat_and_gold_synonyms_too(tmp_path: Path) -> None:
    gold = {"questions": [{"id": "b", "type": "factoid", "exact_answer": ["TP53", "p53"]}]}
    predictions = {"questions": [{"id": "b", "exact_answer": ["p53", "TP53"]}]}
    score(options_for(tmp_path, "bioasq", gold, predictions, output=tmp_path / "results.json"))
    scores = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["scores"]
    assert scores["factoid"]["strict_accuracy"] == 100


def test_probabilities_of_no_answer(tmp_path: Path) -> None:
    probabilities = written(tmp_path / "probabilities", {"q1": 0.1, "q2": 0.8})
    more = {
        "no_answer_probabilities": probabilities,
        "no_answer_threshold": 0.5,
        "output": tmp_path / "results.json",
    }
    score(options_for(tmp_path, "squad2", GOLD["squad2"], PREDICTIONS["squad2"], **more))
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["scores"]["overall"]["f1"] == 100
    assert results["scores"]["best"]["f1_threshold"] == 0.1
    assert results["no_answer_probabilities"]["sha256"] and results["options"] == {"no_answer_threshold": 0.5}
    written(probabilities, {"q1": 0.1, "q2": "much"})
    with pytest.raises(ScoringError, match="probabilities, line 3: expected a number for 'q2', found 'much'"):
        score(options_for(tmp_path, "squad2", GOLD["squad2"], PREDICTIONS["squad2"], **more))


TWICE = '{"1": "yes",\n"2": "no",\n"1": "no"}'
SIX = {"questions": [{"id": "b1", "exact_answer": [[name] for name in "abcdef"]}]}
BAD: list[tuple[str, Any, Any, str]] = [
    ("ner", None, "", r"predicted: the file is empty"),
    ("ner", " \n\n", None, r"gold: the file is empty"),
    (
        "ner",
        None,
        "Aspirin\tB-Chemical\nacid\n",
        r"predicted, line 2: expected a token and its label, found 'acid'",
    ),
    (
        "ner",
        None,
        "Aspirin\tB-Chemical\nacid\tL-Chemical\n",
        r"predicted, line 2: .*found the label 'L-Chemical'",
    ),
    ("ner", "Aspirin\tO-X\n", None, r"gold, line 1: .*found the label 'O-X'"),
    (
        "ner",
        None,
        "Aspirin\tO\nAcid\tO\nhelps\tO\n\nFever\tO\n",
        r"predicted, line 2: .*'acid' \(.*gold, line 2\)",
    ),
    (
        "ner",
        None,
        "Aspirin\tO\nacid\tO\n\nFever\tO\n",
        r"predicted, line 1: expected a sentence of 3 tokens .*line 1\)",
    ),
    ("ner", None, "Aspirin\tO\nacid\tO\nhelps\tO\n", r"predicted: expected the 2 sentences of .*found 1"),
    ("chemprot", None, "10\tCPR:4\tArg1:T1\n", r"predicted, line 1: .*found 3 columns"),
    ("chemprot", None, "10\tCPR:11\tArg1:T1\tArg2:T5\n", r"predicted, line 1: .*found the class 'CPR:11'"),
    ("chemprot", None, "10\tCPR:4\tArg2:T5\tArg1:T1\n", r"predicted, line 1: .*Arg1.* found 'Arg2:T5'"),
    (
        "chemprot",
        None,
        GOLD["chemprot"] * 2,
        r"predicted, line 3: the relation of line 1 is there a second time",
    ),
    ("chemprot", None, "11\tCPR:4\tArg1:T1\tArg2:T5\n", r"predicted: none of its articles is in"),
    ("chemprot", "10\tCPR:1\tArg1:T1\tArg2:T5\n", None, r"gold: expected relations of CPR:3"),
    ("squad", None, {"q1": "liver", "q7": "x"}, r"predicted, line 3: the id 'q7' is not in"),
    ("squad2", None, {"q1": "liver"}, r"predicted: the id 'q2' is missing, of 2 in .*gold \(line \d+\)"),
    (
        "squad",
        None,
        {"q1": ["liver"]},
        r"predicted, line 2: expected a string as answer of 'q1', found an array",
    ),
    ("squad", None, "{'q1': 1}", r"predicted, line 1: expected JSON"),
    (
        "squad",
        None,
        ["liver"],
        r"predicted, line 1: expected an object of question id to answer, found an array",
    ),
    ("squad", {"data": [{"title": ""}]}, None, r"gold: expected SQuAD's form"),
    ("squad", GOLD["squad2"], None, r"gold, line \d+: the question 'q2' has no answer.* --task squad2"),
    ("bioasq", None, SIX, r"the ids 'b2', 'b3' are missing"),
    (
        "bioasq",
        {"questions": GOLD["bioasq"]["questions"][:1]},
        SIX,
        r"predicted, line 4: .*at most 5 .*found 6",
    ),
    ("bioasq", {"questions": [{"id": "b", "type": "yesno"}]}, None, r"gold, line 4: .*no exact answer"),
    (
        "bioasq",
        {"questions": [{"id": "b", "type": "maybe"}]},
        None,
        r"gold, line 4: expected the type factoid",
    ),
    (
        "bioasq",
        {"questions": GOLD["bioasq"]["questions"][:1] * 2},
        None,
        r"gold, line \d+: the id 'b1' is there",
    ),
    ("choice", None, TWICE, r"predicted, line 3: the id '1' is there a second time"),
    ("choice", None, "1\tyes\n1\tno\n", r"predicted, line 2: the id '1' is there a second time"),
    (
        "choice",
        None,
        "1\tyes\n2\tperhaps\n",
        r"predicted, line 2: expected one of the labels no, yes, found 'perhaps'",
    ),
    ("choice", None, "1 yes\n", r"predicted, line 1: expected an id and a label"),
    ("choice", None, {"1": "yes", "2": None}, r"predicted, line 3: expected a label for '2', found None"),
]


@pytest.mark.parametrize(("task", "gold", "predictions", "message"), BAD)
def test_bad_files_are_named_with_the_line(
    task: str, gold: Any, predictions: Any, message: str, tmp_path: Path
) -> None:
    output = tmp_path / "results.json"
    options = options_for(
        tmp_path,
        task,
        GOLD[task] if gold is None else gold,
        PREDICTIONS[task] if predictions is None else predictions,
        output=output,
    )
    with pytest.raises(ScoringError, match=message) as raised:
        score(options)
    assert str(tmp_path) in str(raised.value) and not output.exists()


def test_a_line_is_that_of_the_key_and_not_of_an_equal_value(tmp_path: Path) -> None:
    text = '{"2": "1",\n"ä": "2",\n"1": "1",\n"\\u00e4": {"id" : "1"}}'
    file = InputFile.read(written(tmp_path / "ids", text))
    assert [file.line_of("1"), file.line_of("1", 2), file.line_of("2"), file.line_of("2", 2)] == [
        3,
        4,
        1,
        None,
    ]
    assert [file.line_of("ä"), file.line_of("ä", 2), file.line_of("3")] == [2, 4, None]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes("a\tO\nnaïve\tO\n".encode("latin-1"))
    with pytest.raises(ScoringError, match="latin, line 2: expected UTF-8, found the byte 0xef"):
        InputFile.read(path)
    path.write_bytes(gzip.compress(b"a\tO\n" * 100)[:-12])
    with pytest.raises(ScoringError, match="damaged gzip data"):
        InputFile.read(path)


@pytest.mark.parametrize(
    "more",
    [
        {"no_answer_probabilities": Path("p")},
        {"labels": ["yes"]},
        {"question_types": []},
        {"no_answer_threshold": float("nan")},
    ],
)
def test_options_without_a_meaning_are_refused(more: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"--{next(iter(more))}"):
        ScoreOptions(task="ner", gold=Path("g"), predictions=Path("p"), **more)


CHEMPROT = Path(__file__).parents[3] / "shared" / "data" / "re" / "chemprot" / "chemprot_sample"


@pytest.mark.skipif(not CHEMPROT.exists(), reason="needs ChemProt's sample in ../shared/data")
def test_the_sample_of_the_kit_gets_the_scores_that_come_with_it(tmp_path: Path) -> None:
    files = {name: CHEMPROT / f"chemprot_sample_{name}.tsv.gz" for name in ("gold_standard", "predictions")}
    output = tmp_path / "results.json"
    score(
        ScoreOptions(
            task="chemprot", gold=files["gold_standard"], predictions=files["predictions"], output=output
        )
    )
    micro = json.loads(output.read_text(encoding="utf-8"))["scores"]["micro"]
    text = gzip.decompress((CHEMPROT / "chemprot_sample_predictions_eval.txt.gz").read_bytes()).decode()
    told = {
        name.strip(): float(value) for name, value in (line.split(":") for line in text.split("\n") if line)
    }
    assert micro["correct"] == told["TP"] and micro["predicted"] == told["Total predictions"]
    for name, theirs in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F-score")):
        assert micro[name] == pytest.approx(100 * told[theirs], abs=1e-9)
