"""Each kind of classified text from data in a folder to results.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

Writer = Callable[[Path], None]
YES, NO = "Metformin lowers fever.", "No effect in mice was found."


def lines(path: Path, questions: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")


def medqa(folder: Path) -> None:
    for part, count in (("train", 24), ("dev", 6), ("test", 9)):
        options = [
            ["mice", "fever", "aspirin"],
            ["aspirin", "headache"],
            ["failure", "aspirin", "type", "mice"],
        ]
        lines(
            folder / f"{part}.jsonl",
            [
                {
                    "question": f"Which is a drug, {number}?",
                    "options": dict(zip("ABCD", texts, strict=False)),
                    "answer_idx": "ABCD"[texts.index("aspirin")],
                }
                for number in range(count)
                for texts in [options[number % 3]]
            ],
        )


def medmcqa(folder: Path) -> None:
    for part, count in (("train", 24), ("dev", 8), ("test", 4)):
        texts = ["aspirin", "mice", "fever", "failure"]
        lines(
            folder / f"{part}.json",
            [
                {"id": f"{part}{number}", "question": f"Which is a drug, {number}?"}
                | {f"op{'abcd'[(place + number) % 4]}": text for place, text in enumerate(texts)}
                | ({} if part == "test" else {"cop": number % 4 + 1})
                for number in range(count)
            ],
        )


def pubmedqa(folder: Path) -> None:
    questions = {
        str(number): {
            "QUESTION": "Does it help?",
            "CONTEXTS": [YES if number % 2 else NO],
            "LABELS": ["RESULTS"],
            "final_decision": "yes" if number % 2 else "no",
        }
        for number in range(60)
    }
    (folder / "ori_pqal.json").write_text(json.dumps(questions), encoding="utf-8")
    decisions = {name: questions[name]["final_decision"] for name in list(questions)[:20]}
    (folder / "test_ground_truth.json").write_text(json.dumps(decisions), encoding="utf-8")


def bioasq(folder: Path) -> None:
    for name, count in (("5B1_golden", 40), ("6B1_golden", 10)):
        questions = [
            {
                "id": f"{name}{number}",
                "type": "yesno",
                "body": "Does it help?",
                "snippets": [{"text": YES if number % 2 else NO}],
                "exact_answer": "yes" if number % 2 else "no",
            }
            for number in range(count)
        ]
        (folder / f"{name}.json").write_text(json.dumps({"questions": questions}), encoding="utf-8")


def gad(folder: Path) -> None:
    for part, count in (("train", 40), ("test", 10)):
        rows = [
            f"@GENE$ {'inhibits' if number % 2 else 'was found in'} @DISEASE$ of {number} mice.\t{number % 2}"
            for number in range(count)
        ]
        (folder / f"{part}.tsv").write_text("\n".join(rows), encoding="utf-8")


def chemprot(folder: Path) -> None:
    for part, count in (("training", 20), ("development", 6)):
        contents = {"abstracts": "", "entities": "", "gold_standard": ""}
        for number in range(count):
            pmid = f"{part}{number}"
            text = f"Aspirin {'inhibits' if number % 2 else 'was found in'} COX-1."
            gene = text.index("COX")
            contents["abstracts"] += f"{pmid}\t{text}\tNo.\n"
            contents["entities"] += f"{pmid}\tT1\tCHEMICAL\t0\t7\tAspirin\n"
            contents["entities"] += f"{pmid}\tT2\tGENE-Y\t{gene}\t{gene + 5}\tCOX-1\n"
            contents["gold_standard"] += f"{pmid}\tCPR:4\tArg1:T1\tArg2:T2\n" * (number % 2)
        for kind, content in contents.items():
            (folder / f"chemprot_{part}_{kind}.tsv").write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("task", "write", "part", "measure"),
    [
        ("MedQA", medqa, "test", "overall/accuracy"),
        ("MedMCQA", medmcqa, "development", "overall/accuracy"),
        ("choices:MedQA", medqa, "test", "overall/accuracy"),
        ("PubMedQA", pubmedqa, "test", "overall/accuracy"),
        ("decisions:PubMedQA", pubmedqa, "test", "overall/accuracy"),
        ("BioASQ-yesno", bioasq, "test", "yesno/accuracy"),
        ("yesno:BioASQ-yesno", bioasq, "test", "yesno/accuracy"),
        ("GAD", gad, "test", "positive/f1"),
        ("ChemProt", chemprot, "development", "micro/f1"),
    ],
)
def test_learnt(tiny_bert: Path, tmp_path: Path, task: str, write: Writer, part: str, measure: str) -> None:
    results = evaluate(tiny_bert, tmp_path, task, write)
    assert results["summary"][part][measure]["mean"] > 90
    run = tmp_path / "out" / "runs" / results["runs"][0]["folder"] / part
    assert {path.stem for path in run.iterdir()} == {"gold", "predictions"}


@pytest.mark.parametrize(("task", "write"), [("MedQA", medqa), ("PubMedQA", pubmedqa)])
def test_learnt_by_a_gpt(tiny_gpt: Path, tmp_path: Path, task: str, write: Writer) -> None:
    assert evaluate(tiny_gpt, tmp_path, task, write)["summary"]["test"]["overall/accuracy"]["mean"] > 90


def evaluate(model: Path, tmp_path: Path, task: str, write: Writer) -> dict[str, Any]:
    folder = tmp_path / "data" / task.rpartition(":")[2]
    folder.mkdir(parents=True)
    write(folder)
    words = {
        "data_dir": tmp_path / "data",
        "output": tmp_path / "out",
        "model": model,
        "tasks": task,
        "max_length": 64,
        "seeds": 1,
        "epochs": 6,
        "batch_sizes": 4,
        "learning_rates": 5e-3,
        "head_dropout": 0.1,
    }
    flags = [str(word) for name, value in words.items() for word in (f"--{name}", value)]
    assert main(["evaluate", *flags, "--cpu"]) == 0
    return json.loads((tmp_path / "out" / "results.json").read_text())["tasks"][task]
