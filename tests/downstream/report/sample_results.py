"""Small results.json, and the report of some."""

import json
from pathlib import Path
from typing import Any

from megatron_bio.cli import main


def measure(mean: float, deviation: float | None = 0.5) -> dict[str, Any]:
    return {"mean": mean, "deviation": deviation, "seeds": 1 if deviation is None else 3}


def results(name: str = "first", step: int | None = None, f1: float = 88.0) -> dict[str, Any]:
    return {
        "form": "megatron-bio results",
        "version": 1,
        "model": {
            "name": name,
            "path": "m",
            "sha256": "ab" * 32,
            "type": "bert",
            "parameters": 1000,
            "vocabulary": 300,
            "pretraining_step": step,
        },
        "command": ["megatron-bio", "evaluate"],
        "versions": {"torch": "2"},
        "device": "cpu",
        "date": "2026-11-29",
        "tasks": {
            "NCBI-disease": {
                "kind": "named entities",
                "main_measure": ["overall", "f1"],
                "protocol": {
                    "train_on": "train",
                    "seeds": [1, 2, 3],
                    "settings": {"epochs": 30, "learning_rate": 5e-5, "batch_size": 64},
                },
                "data": [
                    {
                        "part": "test",
                        "examples": 940,
                        "left_out": {"odd": 2},
                        "files": [{"path": "t.tsv", "sha256": "cd" * 32}],
                    }
                ],
                "grid": [
                    {"learning_rate": 5e-5, "development": 80.0},
                    {"learning_rate": 1e-5, "development": 70.0},
                ],
                "runs": [
                    {
                        "seed": 1,
                        "curve": [
                            {"epoch": 1.0, "loss": 1.0, "measure": 50.0},
                            {"epoch": 2.0, "measure": 80.0},
                        ],
                    }
                ],
                "summary": {
                    "test": {
                        "overall/precision": measure(87.0),
                        "overall/f1": measure(f1),
                        "overall/correct": measure(9.0),
                    }
                },
            }
        },
        "language_modelling": None,
        "overlap": None,
    }


def written(folder: Path, content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def report(output: Path, *folders: Path, flags: tuple[str, ...] = ()) -> tuple[str, str]:
    assert main(["report", *map(str, folders), "--output", str(output), *flags]) == 0
    return (output / "report.md").read_text(), (output / "report.html").read_text()
