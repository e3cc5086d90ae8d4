"""The tasks for lm-evaluation-harness: their prompts can be made of what their functions read. The harness is not needed."""

import json
import re
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "examples" / "downstream" / "lm-eval"
MEDQA = {"question": "Which vitamin?", "options": {"A": "C", "B": "D"}, "answer_idx": "B", "answer": "D"}
MEDMCQA = [
    {"id": str(cop), "question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": cop}
    for cop in (4, 1)
]
PUBMEDQA = {
    "7": {
        "QUESTION": "Does it?",
        "CONTEXTS": ["We tried.", "It did."],
        "LABELS": ["A", "B"],
        "final_decision": "maybe",
    }
}
FILES = {
    "medqa_file": json.dumps(MEDQA) + "\n",
    "medmcqa_file": "".join(json.dumps(line) + "\n" for line in MEDMCQA),
    "pubmedqa_file": json.dumps(PUBMEDQA),
}


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """questions.py, with a data set that is the list of its rows."""
    datasets: Any = ModuleType("datasets")
    datasets.Dataset = SimpleNamespace(from_list=list)
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    spec = spec_from_file_location("lm_eval_questions", FOLDER / "questions.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_task(file: Path, questions: ModuleType) -> dict[str, Any]:
    class Loader(yaml.SafeLoader):
        pass

    def function(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(
            questions, loader.construct_scalar(node).removeprefix("questions.")
        )
        return found

    Loader.add_constructor("!function", function)
    task: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader)
    return task


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, str]:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return {name: str(tmp_path / name) for name in FILES}


@pytest.mark.parametrize(
    ("name", "prompt", "choices", "label"),
    [
        ("local_medqa", "Question: Which vitamin?\nA. C\nB. D\nAnswer:", ["A", "B"], 1),
        ("local_medqa_texts", "Question: Which vitamin?\nAnswer:", ["C", "D"], 1),
        (
            "local_medmcqa",
            "Question: Which?\nChoices:\nA. a\nB. b\nC. c\nD. d\nAnswer:",
            ["A", "B", "C", "D"],
            3,
        ),
        ("local_medmcqa_texts", "Question: Which?\nAnswer:", ["a", "b", "c", "d"], 3),
        (
            "local_pubmedqa",
            "Abstract: We tried.\nIt did.\nQuestion: Does it?\nAnswer:",
            ["yes", "no", "maybe"],
            2,
        ),
    ],
)
def test_a_task_makes_its_prompt(
    name: str, prompt: str, choices: list[str], label: int, questions: ModuleType, metadata: dict[str, str]
) -> None:
    task = read_task(FOLDER / f"{name}.yaml", questions)
    assert task["task"] == name
    row = task["custom_dataset"](**metadata, version=1.0)[task["test_split"]][0]
    # The templates only name fields.
    assert re.sub(r"{{(\w+)}}", lambda found: row[found[1]], task["doc_to_text"]) == prompt
    given = task["doc_to_choice"]
    assert (row[given] if isinstance(given, str) else given) == choices
    assert row[task["doc_to_target"]] == label


def test_every_task_is_tested_and_documented() -> None:
    names = {file.stem for file in FOLDER.glob("*.yaml")}
    assert len(names) == 5
    text = (FOLDER.parents[2] / "docs" / "evaluate-lm.md").read_text(encoding="utf-8")
    assert names <= set(re.findall(r"`(local_\w+)`", text))


def test_questions_without_answers_are_refused(questions: ModuleType, tmp_path: Path) -> None:
    lines = [{**line, "cop": -1} for line in MEDMCQA]
    path = tmp_path / "test.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(ValueError, match="does not give the right answer"):
        questions.medmcqa(medmcqa_file=str(path))
