"""The verb: results.json, interruption, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.config.errors import UserError
from megatron_bio.config.evaluate_lm import EvaluateLmOptions
from megatron_bio.convert.hugging_face.reference import quiet
from megatron_bio.corpus.building.run import build_corpus
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.downstream.language_modelling import measure
from megatron_bio.downstream.language_modelling.model import LanguageModel
from megatron_bio.downstream.model_identity import file_sha256, model_identity
from tests.convert.tiny_runs import Trained
from tests.downstream.language_modelling.conftest import TEXTS, Evaluate


def test_results_have_the_form_that_report_reads(
    gpt: Path, data: Path, tmp_path: Path, evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    content = evaluate(gpt, tmp_path / "out", name="tiny")
    assert (content["form"], content["version"], content["tasks"]) == ("megatron-bio results", 1, {})
    assert content["model"]["name"] == "tiny"
    assert content["model"]["sha256"] == file_sha256(gpt / "model.safetensors")
    assert (content["model"]["type"], content["model"]["vocabulary"]) == ("gpt2", 260)
    with quiet(transformers):
        whole = transformers.AutoModel.from_pretrained(gpt)
    assert content["model"]["parameters"] == whole.num_parameters()
    found = content["language_modelling"]
    assert (found["kind"], found["documents"]) == ("causal", 4)
    assert found["bytes"] == sum(len(text.encode()) for text in TEXTS)
    assert found["data"]["sha256"] == file_sha256(data)
    assert found["data"]["left_out"] == {"empty document": 1}
    assert found["protocol"]["beginning"] == "<|endoftext|>"
    lines = [json.loads(line) for line in (tmp_path / "out" / "documents.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["0", "1", "2", "3"]
    assert sum(line["tokens"] for line in lines) == found["tokens"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["documents.jsonl", "results.json"]
    printed = capsys.readouterr().out
    assert f"{found['bits_per_byte']:,.4f}" in printed and f"{found['loss']:,.4f}" in printed


def test_an_interrupted_run_goes_on_to_the_same_numbers(
    bert: Path, tmp_path: Path, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "GROUP_ROWS", 1)
    options = {"pseudo_likelihood": True, "batch_size": 3}
    whole = evaluate(bert, tmp_path / "whole", **options)["language_modelling"]
    calls: list[int] = []
    score = LanguageModel.score

    def interrupted(model: LanguageModel, rows: list[measure.Row]) -> object:
        calls.append(len(rows))
        if sum(calls) > 30:
            raise KeyboardInterrupt
        return score(model, rows)

    output = tmp_path / "out"
    with monkeypatch.context() as changed:
        changed.setattr(LanguageModel, "score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate(bert, output, **options)
    assert sorted(path.name for path in output.iterdir()) == ["language_modelling.unfinished"]
    unfinished = output / "language_modelling.unfinished"
    lines = unfinished.read_bytes().splitlines()
    assert len(lines) == 3, "two documents are done"
    with unfinished.open("ab") as file:
        file.write(b'{"read": 1, "left_')  # a line that a kill cut
    with pytest.raises(UserError, match="mask was words, is pieces"):
        evaluate(bert, output, pseudo_likelihood=True, mask="pieces")
    calls.clear()
    monkeypatch.setattr(
        LanguageModel, "score", lambda model, rows: (calls.append(len(rows)), score(model, rows))[1]
    )
    assert evaluate(bert, output, **options)["language_modelling"] == whole
    rest = sum(len(text.split()) for text in TEXTS[2:])
    assert sum(calls) == rest, "what is finished is not repeated"
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "cells"}\n{"text": 7}\n', "line 2: expected a string under 'text'"),
        ('{"text": "cells"}\n{"text": \n', "line 2: expected one complete JSON object"),
        ('{"abstract": "cells"}\n', "expected text to predict, found none"),
        ("", "expected one JSON object per line"),
    ],
)
def test_bad_data_are_named(
    content: str, message: str, gpt: Path, data: Path, tmp_path: Path, evaluate: Evaluate
) -> None:
    data.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        evaluate(gpt, tmp_path / "out")
    assert str(data) in str(error.value)
    # Nothing was finished, so mended data are taken.
    data.write_text('{"text": "cells"}\n', encoding="utf-8")
    assert evaluate(gpt, tmp_path / "out")["language_modelling"]["documents"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 41}, "at most the 40 that the model was made for, found 41"),
        ({"stride": 40}, "--stride: expected less than the 40 tokens"),
        ({"pseudo_likelihood": True}, "a causal model, which masks nothing"),
        ({"data": "nothing.jsonl"}, "'nothing.jsonl': no file matches"),
        ({"tokenizer": Path("nowhere")}, "expected a model and a tokenizer"),
    ],
)
def test_options_that_do_not_fit_the_model(
    options: dict[str, object], message: str, gpt: Path, evaluate: Evaluate
) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(gpt, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_share": 0.0}, "--mask_share"),
        ({"mask_share": 0.2, "pseudo_likelihood": True}, "--mask_share"),
        ({"kind": "causal", "mask": "pieces"}, "a causal model masks nothing"),
        ({"batch_size": 0}, "--batch_size: expected at least 1"),
        ({"keys": []}, "--keys"),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvaluateLmOptions(model="x", data="y", output=Path("z"), **options)


def test_a_model_without_its_head_is_refused(bert: Path, tmp_path: Path, evaluate: Evaluate) -> None:
    folder = tmp_path / "headless"
    with quiet(transformers):
        transformers.AutoModel.from_pretrained(bert).save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(bert).save_pretrained(folder)
    with pytest.raises(UserError, match=r"expected all weights of a masked language model.*cls\.predictions"):
        evaluate(folder)


def test_what_is_no_model_is_refused(
    tmp_path: Path, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="expected a checkpoint of"):
        evaluate(tmp_path / "empty")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="expected a folder or a model on the hub"):
        evaluate(Path("nobody/no-such-model"))


def test_results_of_tasks_are_not_replaced(gpt: Path, tmp_path: Path, evaluate: Evaluate) -> None:
    output = tmp_path / "out"
    evaluate(gpt, output)
    evaluate(gpt, output, documents=2)
    (output / "results.json").write_text('{"tasks": {"ChemProt": {}}}', encoding="utf-8")
    with pytest.raises(UserError, match=r"results\.json holds others"):
        evaluate(gpt, output)


def test_numbers_that_are_none_are_told_with_the_document(
    gpt: Path, data: Path, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = LanguageModel.score

    def broken(model: LanguageModel, rows: list[measure.Row]) -> object:
        scored = score(model, rows)
        scored.nats[0] = float("nan")
        return scored

    monkeypatch.setattr(LanguageModel, "score", broken)
    with pytest.raises(UserError, match=r"line 3: the model gives numbers that are not finite"):
        evaluate(gpt)


def test_a_name_on_the_hub_is_its_copy_here(
    gpt: Path, tmp_path: Path, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(gpt))
    content = evaluate(Path("somebody/tiny-gpt"))
    assert content["model"]["name"] == "tiny-gpt"
    assert content["language_modelling"]["loss"] == evaluate(gpt)["language_modelling"]["loss"]
    with pytest.raises(UserError, match=r"a tokenizer \(elsewhere\)"):
        evaluate(Path("somebody/tiny-gpt"), tokenizer=Path("elsewhere"))


def test_a_model_that_does_not_call_its_output_embeddings_is_computed_too(
    bert: Path, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = evaluate(bert, mask_share=0.5)["language_modelling"]
    monkeypatch.setattr(
        transformers.MegatronBertForMaskedLM, "get_output_embeddings", lambda model: torch.nn.Linear(1, 1)
    )
    whole = evaluate(bert, mask_share=0.5)["language_modelling"]
    assert whole["loss"] == pytest.approx(usual["loss"], rel=1e-6)


def test_identity_changes_with_weights_and_tokenizer(
    bert: Path, bert_run: Trained, gpt: Path, tmp_path: Path
) -> None:
    ours = model_identity(bert)
    assert ours == model_identity(bert)
    other = model_identity(bert, bert_run.tokenizer)
    assert other.sha256 == ours.sha256 != model_identity(gpt).sha256
    assert (ours.type, ours.vocabulary, ours.pretraining_step) == ("megatron-bert", 203, 700)
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in bert.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    (changed / "vocab.txt").write_text("other", encoding="utf-8")
    assert model_identity(changed).tokenizer_sha256 != ours.tokenizer_sha256


def test_the_command_line_takes_the_verb(gpt: Path, data: Path, tmp_path: Path) -> None:
    words = ["evaluate", "lm", "--model", str(gpt), "--data", str(data), "--output", str(tmp_path / "out")]
    process = subprocess.run(
        [sys.executable, "-m", "megatron_bio", *words, "--device", "cpu", "--documents", "2"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    assert "bits per byte" in process.stdout and not process.stderr
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert content["command"][:3] == ["megatron-bio", "evaluate", "lm"]
    assert content["language_modelling"]["documents"] == 2


def test_compressed_files_and_splits_of_a_corpus_are_read(
    gpt: Path, tmp_path: Path, evaluate: Evaluate
) -> None:
    usual = evaluate(gpt)["language_modelling"]
    for name, part in (("a", TEXTS[:2]), ("b", TEXTS[2:])):
        with DocumentWriter(tmp_path / "shards" / f"{name}.jsonl.zst") as writer:
            for number, text in enumerate(part):
                writer.write(Document(id=f"{name}{number}", text=text))
    found = evaluate(gpt, data=str(tmp_path / "shards" / "*.zst"))["language_modelling"]
    assert (found["loss"], found["data"]["files"]) == (usual["loss"], 2)
    corpus = tmp_path / "corpus"
    options = {
        "languages": ["any"],
        "minimum_words": 1,
        "near_duplicate_similarity": 0.0,
        "repeated_fraction": 1.0,
    }
    build_corpus(
        BuildCorpusOptions(
            inputs=[str(tmp_path / "shards" / "*.zst")], output=corpus, split=(0.0, 0.0, 1.0), **options
        )
    )
    of_split = evaluate(gpt, data=str(corpus / "test"))["language_modelling"]
    assert 0 < of_split["documents"] <= usual["documents"]
    with pytest.raises(UserError, match=r"it is a whole corpus.*corpus/test"):
        evaluate(gpt, data=str(corpus))
