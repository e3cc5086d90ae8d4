"""inspect on checkpoints: what the reader of each format says."""

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.inspect import InspectOptions
from megatron_bio.convert.conversion import convert
from megatron_bio.inspection.description import InspectionError
from megatron_bio.inspection.files import inspect
from tests.convert.tiny_runs import random_model, save_run, tiny_config, wordpiece_folder


def described(path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    inspect(InspectOptions(path=path, json=True, **options))
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content["path"] == str(path)
    return content


def test_exported_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = wordpiece_folder(tmp_path / "tokenizer")
    config = tiny_config("bert", tokenizer)
    trained = save_run(tmp_path / "run", tokenizer, config, random_model(config))
    folder = tmp_path / "export"
    convert(ConvertOptions(checkpoint=trained.run, output=folder, check=False, precision="bf16"))
    capsys.readouterr()
    found = described(folder, capsys)
    expected = {
        "kind": "Hugging Face checkpoint",
        "format": "Hugging Face",
        "class": ["MegatronBertForPreTraining"],
        "order_of_query_key_value": "query, key, value",
        "vocabulary": "203 tokens, 53 rows of padding in our tables",
        "stored_as": ["bfloat16"],
        "step": 700,
        "vocabulary_size": 203,
        "parameters": sum(value.numel() for value in trained.weights.values()),
    }
    assert {name: found[name] for name in expected} == expected
    assert "missing" not in found
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    with pytest.raises(InspectionError, match=r"model.safetensors: damaged or cut off"):
        inspect(InspectOptions(path=folder))


def test_checkpoint_of_ours_tells_its_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = wordpiece_folder(tmp_path / "tokenizer")
    config = tiny_config("bert", tokenizer)
    trained = save_run(tmp_path / "run", tokenizer, config, random_model(config))
    found = described(trained.run, capsys)["newest"]
    expected = {
        "version": 1,
        "order_of_query_key_value": "heads, 3, head size",
        "saved_at": {"tensor_parallel": 1, "pipeline_parallel": 1},
        "stored_as": ["float32"],
    }
    assert {name: found[name] for name in expected} == expected


def test_the_word_checkpoint_may_stand_before_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint").mkdir()
    wordpiece_folder(tmp_path / "checkpoint" / "inside")
    monkeypatch.chdir(tmp_path / "checkpoint")
    assert main(["inspect", "checkpoint", "inside", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "tokenizer"
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "checkpoint"]) == 1
    assert "found a folder with inside" in capsys.readouterr().err


def test_a_format_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "hidden_size": 4}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InspectionError, match="a checkpoint of Hugging Face that cannot be used"):
        inspect(InspectOptions(path=tmp_path))
