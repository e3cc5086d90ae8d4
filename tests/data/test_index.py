"""The verb `index` does ahead of a run what the run would do, and the run finds it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tokenizers.pre_tokenizers import ByteLevel

from megatron_bio.cli import main
from megatron_bio.config.command_line import parse_options
from megatron_bio.config.parser import Program
from megatron_bio.config.pretrain import CHANGEABLE_ON_RESUME, PretrainConfig, differences_on_resume
from megatron_bio.data.build import open_training_data
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_byte_level
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder
from tests.data.test_build import sentences, whole, wordpiece, write


def saved(tokenizer: Tokenizer, folder: Path) -> str:
    write_tokenizer_folder(folder, tokenizer._core)
    return str(folder)


def recipe(folder: Path, prefixes: list[str], tokenizer: str, **data: object) -> Path:
    path = folder / "recipe.yaml"
    content = {
        "model": {"architecture": "bert", "num_layers": 2},
        "data": {"prefixes": prefixes, "tokenizer": tokenizer, "sequence_length": 32, **data},
        "parallel": {"zero": 0},
        "optimizer": {"lr": 0.001},
        "training": {"output": str(folder / "run"), "train_steps": 100, "global_batch_size": 200},
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def of_pretrain(path: Path) -> PretrainConfig:
    return parse_options(PretrainConfig, ["--config", str(path)], Program(name="x", description=""))


def test_a_run_finds_what_the_verb_has_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = write(tmp_path / "a", sentences(200), wordpiece(), "sentences")
    path = recipe(tmp_path, [prefix], saved(wordpiece(), tmp_path / "tokenizer"))
    assert main(["index", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    for words in ("documents:\n  train: ", "  rows: ", "  fill: ", f"kept in {prefix}.cache/", "\nseconds: "):
        assert words in text, words
    config = of_pretrain(path)
    report = open_training_data(config.data, "bert").report
    assert report["index_cache"].count("read from") == 2 and "built" not in report["index_cache"]
    assert main(["index", "--config", str(path)]) == 0
    assert "built" not in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_folder_can_be_named_and_nothing_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = write(tmp_path / "a", sentences(100), wordpiece(), "sentences")
    path = recipe(tmp_path, [prefix], saved(wordpiece(), tmp_path / "tokenizer"))
    assert main(["index", "--config", str(path), "--data.index_cache", "none"]) == 0
    assert "index cache: none, as data.index_cache says" in capsys.readouterr().out
    assert main(["index", "--config", str(path), "--data.index_cache", str(tmp_path / "elsewhere")]) == 0
    assert len(list((tmp_path / "elsewhere").glob("*/manifest.json"))) == 2
    assert not Path(f"{prefix}.cache").exists()


def test_a_blend_as_json_with_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefixes = [
        write(tmp_path / name, sentences(count), wordpiece(), "sentences")
        for name, count in (("a", 60), ("b", 200))
    ]
    path = recipe(tmp_path, prefixes, saved(wordpiece(), tmp_path / "tokenizer"), weights=[1.0, 3.0])
    assert main(["index", "--config", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows_of_the_run"] == 20_000
    assert report["blend"][prefixes[1]] == {"weight": 3.0, "rows_of_each_10000": 7_500}
    expected = 5_000 / report["train"][prefixes[0]]["rows"]
    assert report["epochs"][prefixes[0]] == pytest.approx(expected, abs=1e-3)
    assert all(list(Path(f"{prefix}.cache").glob("*/manifest.json")) for prefix in prefixes)


def test_gpt_needs_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(build_byte_level(vocabulary, [], add_prefix_space=False), "bpe")
    prefix = write(tmp_path / "a", whole(200), tokenizer, "documents")
    words = ["--data.prefixes", prefix, "--data.tokenizer", saved(tokenizer, tmp_path / "tokenizer")]
    options = ["--data.sequence_length", "32", "--model.architecture", "gpt"]
    assert main(["index", *words, *options]) == 0
    assert "index cache: none: gpt sums up" in capsys.readouterr().out
    assert not Path(f"{prefix}.cache").exists()


def test_looking_at_samples_makes_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = write(tmp_path / "a", sentences(100), wordpiece(), "sentences")
    tokenizer = saved(wordpiece(), tmp_path / "tokenizer")
    words = ["inspect", prefix, "--samples", "2", "--tokenizer", tokenizer, "--data", "sequence_length=32"]
    assert main(words) == 0
    assert not Path(f"{prefix}.cache").exists()
    path = recipe(
        tmp_path, [prefix, write(tmp_path / "b", sentences(90, 4), wordpiece(), "sentences")], tokenizer
    )
    capsys.readouterr()
    assert main(["inspect", str(path), "--samples", "3", "--data", "weights=[1,1]", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 3


def test_weights_may_not_change_on_resume_and_the_cache_may(tmp_path: Path) -> None:
    path = recipe(tmp_path, ["a", "b"], "t", weights=[1.0, 2.0], index_cache="c")
    config = of_pretrain(path)
    stored = {part: dict(vars(getattr(config, part))) for part in CHANGEABLE_ON_RESUME}
    assert differences_on_resume(stored, config) == []
    stored["data"] |= {"weights": [1.0, 3.0], "index_cache": None}
    assert differences_on_resume(stored, config) == [
        "data.weights: the checkpoint has [1.0, 3.0], the command gives [1.0, 2.0]"
    ]
    del stored["data"]["weights"]  # of a checkpoint from before there were blends
    assert differences_on_resume(stored, config) == [
        "data.weights: the checkpoint has None, the command gives [1.0, 2.0]"
    ]


def test_the_verb_loads_no_torch() -> None:
    code = "import sys, megatron_bio.data.index; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
