import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.cli import main
from megatron_bio.downstream.evaluation import make_run
from tests.convert.tiny_runs import random_model, save_run, tiny_config, wordpiece_folder
from tests.downstream.evaluation.commands import evaluate, fast, refusal

pytest.importorskip("transformers")
pytest.importorskip("accelerate")


def test_it_learns_and_says_how(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = evaluate(
        tiny_bert, data, tmp_path / "out", "--tasks", "NCBI-disease", "--seeds", "1", "2", *fast()
    )
    task = results["tasks"]["NCBI-disease"]
    assert task["summary"]["test"]["overall/f1"]["mean"] > 80
    assert task["summary"]["test"]["overall/f1"]["seeds"] == 2
    assert [run["seed"] for run in task["runs"]] == [1, 2]
    assert len(task["runs"][0]["curve"]) == 8
    assert (
        task["runs"][0]["curve"][-1]["measure"]
        == task["runs"][0]["parts"]["development"]["scores"]["overall"]["f1"]
    )
    assert task["protocol"]["settings"]["epochs"] == 8
    assert {part["part"]: part["examples"] for part in task["data"]} == {
        "train": 24,
        "development": 8,
        "test": 4,
    }
    out, error = capfd.readouterr()
    assert "NCBI-disease, test (2 seeds): f1" in out
    assert "it/s" not in error and "loss" not in out


def test_the_grid_is_decided_by_development_and_its_run_is_not_made_again(
    tiny_bert: Path, data: Path, tmp_path: Path
) -> None:
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast("1e-9", "1e-2"))
    task = evaluate(tiny_bert, data, tmp_path / "out", *flags)["tasks"]["NCBI-disease"]
    assert [point["learning_rate"] for point in task["grid"]] == [1e-9, 1e-2]
    assert task["grid"][1]["development"] > task["grid"][0]["development"]
    assert task["protocol"]["settings"]["learning_rate"] == 1e-2
    assert len(list((tmp_path / "out" / "runs" / "NCBI-disease").iterdir())) == 2


@pytest.mark.parametrize("seeds", [("1",), pytest.param(("1", "2"), marks=pytest.mark.slow)])
def test_an_interrupted_evaluation_goes_on(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: tuple[str, ...]
) -> None:
    flags = ("--tasks", "NCBI-disease", "entities:mine", "--seeds", *seeds, *fast(epochs=2))
    whole = evaluate(tiny_bert, data, tmp_path / "whole", *flags)
    made: list[str] = []
    original = make_run.RunMaker.__call__

    def stops_half_way(self: make_run.RunMaker, job: Any) -> dict[str, Any]:
        if len(made) == len(seeds):
            raise KeyboardInterrupt
        made.append(job.folder.name)
        return original(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(make_run.RunMaker, "__call__", stops_half_way)
        with pytest.raises(AssertionError, match="130"):
            evaluate(tiny_bert, data, tmp_path / "out", *flags)
    made_later: list[str] = []

    def counts(self: make_run.RunMaker, job: Any) -> dict[str, Any]:
        made_later.append(job.folder.name)
        return original(self, job)

    monkeypatch.setattr(make_run.RunMaker, "__call__", counts)
    resumed = evaluate(tiny_bert, data, tmp_path / "out", *flags)
    assert len(made_later) == len(seeds)
    for task in ("NCBI-disease", "entities:mine"):
        assert resumed["tasks"][task]["summary"] == whole["tasks"][task]["summary"]
        assert [run["parts"] for run in resumed["tasks"][task]["runs"]] == [
            run["parts"] for run in whole["tasks"][task]["runs"]
        ]


def test_early_stopping_keeps_the_best_epoch(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast(), "--early_stopping", "2")
    (run,) = evaluate(tiny_bert, data, tmp_path / "out", *flags)["tasks"]["NCBI-disease"]["runs"]
    best = max(point["measure"] for point in run["curve"])
    assert run["parts"]["development"]["scores"]["overall"]["f1"] == best


def test_training_on_development_too(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    flags = (
        "--tasks",
        "NCBI-disease",
        "--seeds",
        "1",
        *fast(),
        "--epochs",
        "1",
        "--train_on",
        "train+development",
    )
    task = evaluate(tiny_bert, data, tmp_path / "out", *flags)["tasks"]["NCBI-disease"]
    assert list(task["runs"][0]["parts"]) == ["test"]
    assert task["runs"][0]["rows"] == 32


@pytest.mark.parametrize("imbalance", ["oversampling", "weighted", "dice"])
def test_imbalance(tiny_bert: Path, data: Path, tmp_path: Path, imbalance: str) -> None:
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast(epochs=40), "--imbalance", imbalance)
    task = evaluate(tiny_bert, data, tmp_path / "out", *flags)["tasks"]["NCBI-disease"]
    assert task["protocol"]["settings"]["imbalance"] == imbalance
    assert task["summary"]["test"]["overall/f1"]["mean"] > 50


def test_a_gpt(tiny_gpt: Path, data: Path, tmp_path: Path) -> None:
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast())
    results = evaluate(tiny_gpt, data, tmp_path / "out", *flags)
    assert results["model"]["type"] == "gpt2"
    assert results["tasks"]["NCBI-disease"]["summary"]["development"]["overall/accuracy"]["mean"] > 60


def test_results_of_another_model_are_not_mixed(
    tiny_bert: Path, tiny_gpt: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast(epochs=1))
    evaluate(tiny_bert, data, tmp_path / "out", *flags)
    with pytest.raises(AssertionError):
        evaluate(tiny_gpt, data, tmp_path / "out", *flags)
    assert "holds results of another model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--tasks", "NCBI"), "expected all, one of"),
        (("--tasks", "BC2GM"), "expected its data in"),
        (("--tasks", "entities:nowhere"), "found nothing"),
        (("--tasks", "NCBI-disease", "--seeds", "1", "1"), "expected different whole numbers"),
        (("--tasks", "NCBI-disease", "--epochs", "0"), "expected 1 or more"),
        (("--tasks", "NCBI-disease", "--micro_batch_size", "3"), "expected a multiple of"),
        (
            ("--tasks", "NCBI-disease", "--fsdp", "true", "--cpu", "true"),
            "several ranks with a CUDA device each",
        ),
        (("--tasks", "NCBI-disease", "--fsdp", "true", "--keep_models", "true"), "need the whole weights"),
    ],
)
def test_refused(
    tiny_bert: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags, message: str
) -> None:
    with pytest.raises(AssertionError):
        evaluate(tiny_bert, data, tmp_path / "out", *flags)
    assert message in capsys.readouterr().err


def test_every_checkpoint_of_a_run(data: Path, tmp_path: Path) -> None:
    tokenizer = wordpiece_folder(tmp_path / "tokenizer")
    config = tiny_config("bert", tokenizer)
    trained = save_run(tmp_path / "run", tokenizer, config, random_model(config))
    words = [
        "evaluate",
        "--run",
        trained.run,
        "--tasks",
        "NCBI-disease",
        "--data_dir",
        data,
        "--output",
        tmp_path / "out",
    ]
    flags = ["--seeds", "1", "--batch_sizes", "8", "--cpu", "--max_length", "32", *fast(epochs=1)]
    assert main([str(word) for word in [*words, *flags]]) == 0
    (results,) = (tmp_path / "out").glob("step-*/results.json")
    step = int(results.parent.name.removeprefix("step-"))
    assert json.loads(results.read_text())["model"]["pretraining_step"] == step


def test_what_the_corpus_was_kept_free_of(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    known = hashlib.sha256((data / "NCBI-disease" / "test.tsv").read_bytes()).hexdigest()
    manifest = {
        "benchmarks": [{"name": "NCBI", "sha256": known}],
        "dropped": {"text of a benchmark": {"documents": 3}},
    }
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast(epochs=1), "--corpus", str(tmp_path / "corpus"))
    overlap = evaluate(tiny_bert, data, tmp_path / "out", *flags)["overlap"]
    assert {Path(file["path"]).name: file["kept_out"] for file in overlap["files"]} == {
        "devel.tsv": False,
        "test.tsv": True,
    }
    assert overlap["dropped"] == {"text of a benchmark": {"documents": 3}}


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast(), "--head_dropout", "0")
    one = evaluate(tiny_bert, data, tmp_path / "one", *flags)
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "megatron_bio",
    ]
    words = [
        "evaluate",
        "--data_dir",
        data,
        "--output",
        tmp_path / "two",
        "--model",
        tiny_bert,
        "--batch_sizes",
        8,
        "--cpu",
    ]
    subprocess.run(
        [*launcher, *map(str, words), *flags],
        check=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    two = json.loads((tmp_path / "two" / "results.json").read_text())
    curves = [results["tasks"]["NCBI-disease"]["runs"][0]["curve"] for results in (one, two)]
    assert len(curves[0]) == len(curves[1])
    assert curves[1][-1]["loss"] == pytest.approx(curves[0][-1]["loss"], abs=0.2)
    assert two["tasks"]["NCBI-disease"]["summary"]["test"]["overall/f1"]["mean"] > 80


def test_rows_longer_than_the_models_positions_are_refused_before_training(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    test = data / "NCBI-disease" / "test.tsv"
    test.write_text("fever\tB-Disease\n" * 300, encoding="utf-8")
    flags = ("--tasks", "NCBI-disease", "--max_length", "256", *fast(epochs=1))
    said = refusal(tiny_bert, data, tmp_path / "out", capfd, *flags)
    assert "--max_length: expected at most 128, the model's positions" in said
    assert not list(tmp_path.glob("out/runs/**/result.json"))


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings_is_refused(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModel

    small = tmp_path / "small"
    shutil.copytree(tiny_bert, small)
    model = AutoModel.from_pretrained(small)
    model.resize_token_embeddings(40)
    model.save_pretrained(small)
    said = refusal(small, data, tmp_path / "out", capfd, "--tasks", "NCBI-disease", *fast(epochs=1))
    assert "expected a tokenizer with at most 40 tokens" in said


def test_another_configuration_of_the_same_weights_is_another_model(
    tiny_bert: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, output = tmp_path / "model", tmp_path / "out"
    shutil.copytree(tiny_bert, model)
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", *fast(epochs=1))
    before = evaluate(model, data, output, *flags)["tasks"]["NCBI-disease"]["runs"][0]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"hidden_act": "relu", "layer_norm_eps": 0.5}))
    assert "another model, model (config_sha256 differ)" in refusal(model, data, output, capfd, *flags)
    (output / "results.json").unlink()
    after = evaluate(model, data, output, *flags)["tasks"]["NCBI-disease"]["runs"][0]
    assert before["folder"] != after["folder"]
    assert before["curve"] != after["curve"]


def test_early_stopping_without_development_data_is_not_in_the_protocol(
    tiny_bert: Path, data: Path, tmp_path: Path
) -> None:
    (data / "NCBI-disease" / "devel.tsv").unlink()
    flags = ("--tasks", "NCBI-disease", "--seeds", "1", "--early_stopping", "1", *fast(epochs=1))
    task = evaluate(tiny_bert, data, tmp_path / "out", *flags)["tasks"]["NCBI-disease"]
    assert task["protocol"]["early_stopping"] is None
