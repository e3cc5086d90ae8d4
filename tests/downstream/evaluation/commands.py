"""`evaluate` on tiny models."""

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main


def evaluate(model: Path, data: Path, output: Path, *flags: str) -> dict[str, Any]:
    words = [
        "evaluate",
        "--data_dir",
        data,
        "--output",
        output,
        "--model",
        model,
        "--batch_sizes",
        8,
        "--cpu",
        *flags,
    ]
    code = main([str(word) for word in words])
    assert code == 0, f"it ended with {code}"
    return json.loads((output / "results.json").read_text())


def fast(*rates: str, epochs: int = 8) -> tuple[str, ...]:
    """Settings that learn four sentences by heart in a second."""
    return (
        "--epochs",
        str(epochs),
        "--head_layers",
        "1",
        "--head_dropout",
        "0.1",
        "--learning_rates",
        *(rates or ("1e-2",)),
    )


def refusal(model: Path, data: Path, output: Path, capfd: pytest.CaptureFixture[str], *flags: str) -> str:
    words = ["evaluate", "--data_dir", data, "--output", output, "--model", model, "--cpu", *flags]
    assert main([str(word) for word in words]) != 0
    return capfd.readouterr().err
