"""`convert`: what it prints and refuses, and what it leaves of an earlier export."""

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from megatron_bio.checkpoint.manifest import CheckpointError
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.hugging_face import write
from megatron_bio.convert.transformations import QueryKeyValueColumns, QueryKeyValueSplit
from megatron_bio.tokens.errors import TokenizerError
from tests.convert.tiny_runs import (
    Trained,
    random_model,
    save_run,
    tiny_config,
    wordpiece_folder,
)


def options(trained: Trained, output: Path, **changes: object) -> ConvertOptions:
    return replace(ConvertOptions(checkpoint=trained.run, output=output), **changes)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_prints_the_difference(bert: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(options(bert, tmp_path / "out"))
    printed = capsys.readouterr().out
    assert f"Wrote {tmp_path / 'out'}: megatron-bio to Hugging Face, step 700, 0.1 MB" in printed
    assert "transformers gives the hidden states and logits of the checkpoint in float32: largest" in printed
    assert "allowed 1e-05" in printed
    assert names(tmp_path) == {"out"}


def test_checkpoint_folder_and_checkpoints_folder_mean_the_same(bert: Trained, tmp_path: Path) -> None:
    root = bert.run / "checkpoints"
    for number, checkpoint in enumerate((root, root / "step-00000700")):
        convert(options(bert, tmp_path / str(number), checkpoint=checkpoint, check=False))
    weights = [(tmp_path / str(number) / "model.safetensors").read_bytes() for number in (0, 1)]
    assert weights[0] == weights[1]


def test_card_tells_the_training_and_no_path(bert: Trained, bert_export: Path) -> None:
    card = (bert_export / "README.md").read_text()
    assert "| steps | 700 of 1,000 |" in card
    assert "| tokens seen | 1,234,567, without padding |" in card
    assert 'pipeline("fill-mask"' in card
    assert "$" not in card
    written = [path.read_bytes() for path in bert_export.iterdir() if path.suffix != ".safetensors"]
    assert not any(b"/home/somebody" in text or str(bert.run).encode() in text for text in written)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_rounded_weights_are_checked_and_halve_the_size(
    precision: str, dtype: torch.dtype, bert: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(options(bert, tmp_path / "out", precision=precision))
    printed = capsys.readouterr().out
    assert "of the checkpoint in float32" in printed
    assert f"Rounding the weights to {dtype} alone: largest difference" in printed
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {dtype}
    assert torch.equal(weights["bert.encoder.ln.bias"], bert.weights["final_layernorm.bias"].to(dtype))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(dtype).removeprefix(
        "torch."
    )


def test_file_has_the_format_that_old_readers_ask_for(bert_export: Path) -> None:
    with safe_open(bert_export / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert (bert_export / "model.safetensors").stat().st_mode == (bert_export / "config.json").stat().st_mode


@pytest.mark.parametrize(
    ("architecture", "rule", "precision"),
    [("bert", QueryKeyValueSplit, "bf16"), ("gpt", QueryKeyValueColumns, "fp32")],
)
def test_wrong_order_of_query_key_value_is_noticed_and_the_earlier_export_stays(
    architecture: str,
    rule: type,
    precision: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = request.getfixturevalue(architecture)
    convert(options(trained, tmp_path / "out", check=False))
    before = content(tmp_path / "out")

    def thirds(self, ours: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return ours.chunk(3) if rule is QueryKeyValueSplit else (ours.t(),)

    monkeypatch.setattr(rule, "to_foreign", thirds)
    with pytest.raises(ConvertError, match=r"difference first appears at layers.0: .* allowed 1e-05"):
        convert(options(trained, tmp_path / "out", precision=precision))
    assert content(tmp_path / "out") == before
    assert names(tmp_path) == {"out"}


def test_rounding_that_the_model_amplifies_is_told_from_wrong_weights(
    bert: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(bert.config, num_layers=6)
    model = random_model(config)
    for name, parameter in model.named_parameters():
        if "query_key_value.weight" in name:
            parameter.to_local().detach().mul_(30)
    trained = save_run(tmp_path / "run", bert.tokenizer, config, model)
    convert(options(trained, tmp_path / "out", precision="bf16"))
    printed = capsys.readouterr().out
    assert "of the checkpoint in float64: largest difference" in printed
    assert "In float32 rounding makes more" in printed


def test_without_transformers_it_says_that_nothing_was_checked(
    bert: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    convert(options(bert, tmp_path / "out"))
    printed = capsys.readouterr().out
    assert "this library gives the hidden states and logits of the checkpoint" in printed
    assert "Not compared with transformers, for it cannot be imported" in printed
    assert "pip install 'megatron-bio[hf]'" in printed
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_bert_with_tanh_everywhere_is_exact(bert: Trained, tmp_path: Path) -> None:
    config = replace(bert.config, activation="gelu_tanh")
    convert(
        options(save_run(tmp_path / "run", bert.tokenizer, config, random_model(config)), tmp_path / "out")
    )
    assert json.loads((tmp_path / "out" / "config.json").read_text())["hidden_act"] == "gelu_new"


def test_gpt_that_scales_attention_by_layer_is_exact(gpt: Trained, tmp_path: Path) -> None:
    config = replace(gpt.config, scale_attention_by_inverse_layer=True)
    convert(
        options(save_run(tmp_path / "run", gpt.tokenizer, config, random_model(config)), tmp_path / "out")
    )
    assert '"attn_implementation": "eager"' in (tmp_path / "out" / "README.md").read_text()


def test_bert_with_megatrons_activation_needs_approximate_and_prints_the_difference(
    bert: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(bert.config, activation="megatron")
    trained = save_run(tmp_path / "run", bert.tokenizer, config, random_model(config))
    with pytest.raises(ConvertError, match="Give --approximate"):
        convert(options(trained, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    convert(options(trained, tmp_path / "out", approximate=True))
    assert "Approximate, as asked" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "config.json").read_text())["hidden_act"] == "gelu_new"


def test_gpt_with_exact_gelu_is_exact(gpt: Trained, tmp_path: Path) -> None:
    config = replace(gpt.config, activation="gelu")
    convert(
        options(save_run(tmp_path / "run", gpt.tokenizer, config, random_model(config)), tmp_path / "out")
    )
    assert json.loads((tmp_path / "out" / "config.json").read_text())["activation_function"] == "gelu"


def test_tokenizer_of_another_size_is_refused(bert: Trained, tmp_path: Path) -> None:
    other = wordpiece_folder(tmp_path / "other", size=204)
    with pytest.raises(TokenizerError, match=r"has 204 tokens, the model of .* was trained with 203"):
        convert(options(bert, tmp_path / "out", tokenizer=other))


def test_tokenizer_with_other_ids_is_refused(bert: Trained, tmp_path: Path) -> None:
    other = wordpiece_folder(tmp_path / "other", size=203, lowercase=False)
    with pytest.raises(TokenizerError, match=r"fingerprint .* would give other ids"):
        convert(options(bert, tmp_path / "out", tokenizer=other))
    assert not (tmp_path / "out").exists()


def test_moved_tokenizer_is_asked_for(bert: Trained, tmp_path: Path) -> None:
    moved = wordpiece_folder(tmp_path / "moved")
    trained = save_run(tmp_path / "run", moved, bert.config, random_model(bert.config))
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(
        TokenizerError, match=r"nothing is there now .* Give its present place with --tokenizer"
    ):
        convert(options(trained, tmp_path / "out"))
    convert(options(trained, tmp_path / "out", tokenizer=tmp_path / "elsewhere"))


def test_bare_cased_vocabulary_becomes_a_cased_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra 'hf')")
    vocabulary = wordpiece_folder(tmp_path / "full", lowercase=False) / "vocab.txt"
    config = tiny_config("bert", vocabulary)
    convert(options(save_run(tmp_path / "run", vocabulary, config, random_model(config)), tmp_path / "out"))
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").tokenize("Tnf") == ["T", "##n", "##f"]


def test_tokenizer_that_transformers_reads_otherwise_is_noticed(bert: Trained, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra 'hf')")
    folder = wordpiece_folder(tmp_path / "tokenizer")
    trained = save_run(tmp_path / "run", folder, bert.config, random_model(bert.config))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"strip_accents": False}))
    with pytest.raises(ConvertError, match='does not tokenize as the run did: "Naïve'):
        convert(options(trained, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_missing_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="expected a checkpoint"):
        convert(ConvertOptions(checkpoint=tmp_path / "run", output=tmp_path / "out"))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "expected a checkpoint of format 1, found 2"),
        ({"config": {"model": {"hidden": 3}}}, "info.json: expected the progress and configuration"),
        ({"config": {}}, "info.json: expected the progress and configuration"),
    ],
)
def test_checkpoint_of_something_else_is_refused(
    changes: dict[str, object], message: str, bert: Trained, tmp_path: Path
) -> None:
    trained = save_run(tmp_path / "run", bert.tokenizer, bert.config, random_model(bert.config), **changes)
    with pytest.raises(CheckpointError, match=message):
        convert(options(trained, tmp_path / "out"))


def test_configuration_of_another_model_is_refused(bert: Trained, tmp_path: Path) -> None:
    wider = replace(bert.config, hidden_size=64)
    trained = save_run(tmp_path / "run", bert.tokenizer, wider, random_model(bert.config))
    with pytest.raises(ConvertError, match=r"do not belong to the model .*of another shape: embeddings.word"):
        convert(options(trained, tmp_path / "out"))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_export_is_refused_before_the_long_work(kind: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    if kind == "file":
        output.write_text("mine")
    else:
        output.mkdir()
        (output / "config.json").write_text("mine")
    with pytest.raises(ConvertError, match=f"expected a new folder or an earlier export .* found a {kind}"):
        convert(ConvertOptions(checkpoint=tmp_path / "not looked at", output=output))
    assert (output if kind == "file" else output / "config.json").read_text() == "mine"


def test_earlier_export_is_replaced_whole(bert: Trained, gpt: Trained, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(options(bert, tmp_path / "out", check=False))
    assert "vocab.txt" in names(tmp_path / "out")
    convert(options(gpt, tmp_path / "out", check=False))
    assert "vocab.txt" not in names(tmp_path / "out")
    assert "merges.txt" in names(tmp_path / "out")
    assert names(tmp_path) == {"out"}


def test_full_disk_leaves_the_earlier_export(
    bert: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(options(bert, tmp_path / "out", check=False))
    before = content(tmp_path / "out")

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_tokenizer", fill)
    with pytest.raises(ConvertError, match=r"could not be written: .*No space left .* check the free space"):
        convert(options(bert, tmp_path / "out", check=False))
    assert content(tmp_path / "out") == before
    assert names(tmp_path) == {"out"}


def test_transformers_is_imported_by_the_check_only() -> None:
    for path in Path(write.__file__).parents[1].rglob("*.py"):
        statements = ast.parse(path.read_text()).body
        modules = {node.module for node in statements if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
        assert not any((name or "").startswith("transformers") for name in modules), path


def test_approximate_without_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--approximate"):
        ConvertOptions(checkpoint=tmp_path, output=tmp_path / "out", approximate=True, check=False)


def test_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="--precision: expected one of fp32, bf16, fp16; found 'int8'"
    ):
        ConvertOptions(checkpoint=tmp_path, output=tmp_path / "out", precision="int8")
