"""Folders that transformers itself saved, in all the ways it did over the years, become ours with the same logits."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.conversion import convert
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.formats import FORMATS
from megatron_bio.convert.probe import make_probe
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.parallel.parameters import set_from_full
from megatron_bio.tokens.errors import TokenizerError
from tests.convert.tiny_runs import byte_level_folder, new_model, read_all, wordpiece_folder

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra 'hf')")

BERT = {
    "vocab_size": 203,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 48,
}
GPT = {"vocab_size": 260, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48, "n_inner": 80}


@dataclass(frozen=True)
class Saved:
    """A class of transformers, its configuration, and what of our model it does not have."""

    name: str
    config: str
    settings: dict[str, Any]
    missing: tuple[str, ...] = ()


SAVED = (
    Saved("MegatronBertForPreTraining", "MegatronBertConfig", BERT | {"hidden_dropout_prob": 0.3}),
    Saved("MegatronBertForMaskedLM", "MegatronBertConfig", BERT | {"layer_norm_eps": 1e-6}),
    Saved("BertForPreTraining", "BertConfig", BERT),
    Saved("BertForMaskedLM", "BertConfig", BERT | {"hidden_act": "gelu_new"}),
    Saved("GPT2LMHeadModel", "GPT2Config", GPT | {"scale_attn_by_inverse_layer_idx": True}),
    Saved("GPT2Model", "GPT2Config", GPT | {"activation_function": "gelu"}),
)


def saved_model(saved: Saved, folder: Path, **how: Any):
    """Save a random model as transformers does, with its tokenizer."""
    torch.manual_seed(3)
    config = getattr(transformers, saved.config)(**saved.settings, attn_implementation="eager")
    model = getattr(transformers, saved.name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    (byte_level_folder if "GPT" in saved.name else wordpiece_folder)(folder)
    model.save_pretrained(folder, **how)
    return model


def imported(folder: Path, output: Path, **changes: Any) -> Checkpoint:
    convert(ConvertOptions(checkpoint=folder, output=output, to_format="megatron_bio", **changes))
    return FORMATS["megatron_bio"].open(output)


def our_logits(checkpoint: Checkpoint) -> torch.Tensor:
    model = new_model(checkpoint.model)
    weights = read_all(checkpoint.weights)
    for name, parameter in model.named_parameters():
        set_from_full(parameter, weights[name])
    probe = make_probe(checkpoint.model)
    ids = (probe.tokens, probe.segment_ids, probe.position_ids)
    with torch.no_grad():
        if checkpoint.model.architecture == "gpt":
            return model.logits(*ids)[probe.real][:, : checkpoint.model.vocab_size]
        return model.logits(*ids, probe.tokentype_ids)[0][probe.real][:, : checkpoint.model.vocab_size]


def their_logits(model, checkpoint: Checkpoint) -> torch.Tensor:
    probe = make_probe(checkpoint.model)
    inputs = {"attention_mask": probe.segment_ids, "position_ids": probe.position_ids}
    if checkpoint.model.architecture == "bert":
        inputs["token_type_ids"] = probe.tokentype_ids
    with torch.no_grad():
        output = model(probe.tokens, **inputs)
    if hasattr(output, "last_hidden_state"):
        logits = output.last_hidden_state @ model.wte.weight.t()
    else:
        logits = output.prediction_logits if "prediction_logits" in output else output.logits
    return logits[probe.real]


@pytest.mark.parametrize("saved", SAVED, ids=lambda saved: saved.name)
def test_what_transformers_saved_computes_the_same_and_comes_back(saved: Saved, tmp_path: Path) -> None:
    model = saved_model(saved, tmp_path / "theirs")
    checkpoint = imported(tmp_path / "theirs", tmp_path / "ours")
    ours, theirs = our_logits(checkpoint), their_logits(model, checkpoint)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    convert(ConvertOptions(checkpoint=tmp_path / "ours", output=tmp_path / "again"))
    before = load_file(tmp_path / "theirs" / "model.safetensors")
    after = load_file(tmp_path / "again" / "model.safetensors")
    prefix = "transformer." if saved.name == "GPT2Model" else ""
    assert {prefix + name for name in before} == after.keys()
    assert all(torch.equal(value, after[prefix + name]) for name, value in before.items())
    config, again = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("theirs", "again")
    )
    carried = saved.settings.keys() | {"initializer_range", "model_type"}
    assert {key: again[key] for key in carried} == {key: config[key] for key in carried}


def test_a_model_in_shards_is_read(tmp_path: Path) -> None:
    saved_model(SAVED[4], tmp_path / "theirs", max_shard_size="20KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 2
    imported(tmp_path / "theirs", tmp_path / "ours")


@pytest.mark.parametrize("shards", [1, 2])
def test_pickled_weights_are_read(shards: int, tmp_path: Path) -> None:
    model = saved_model(SAVED[0], tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").unlink()
    state = model.state_dict()  # with the tied tensors twice, as pytorch_model.bin had them
    names = list(state)
    files = {f"pytorch_model-{n + 1}-of-2.bin": names[n::2] for n in range(2)}
    if shards == 1:
        files = {"pytorch_model.bin": names}
    else:
        placed = {name: file for file, held in files.items() for name in held}
        index = {"metadata": {}, "weight_map": placed}
        (tmp_path / "theirs" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    for file, held in files.items():
        torch.save({name: state[name] for name in held}, tmp_path / "theirs" / file)
    checkpoint = imported(tmp_path / "theirs", tmp_path / "ours")
    assert torch.equal(checkpoint.weights.read("masked_lm_head.bias")[:203], state["cls.predictions.bias"])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bert"
    saved_model(SAVED[0], folder)
    return folder


def changed(
    folder: Path,
    copy: Path,
    config: dict[str, Any] | None = None,
    tensors: dict[str, torch.Tensor | None] | None = None,
) -> Path:
    """Copy a folder with other entries of config.json and other tensors; None takes one away."""
    shutil.copytree(folder, copy)
    content = json.loads((copy / "config.json").read_text()) | (config or {})
    (copy / "config.json").write_text(json.dumps(content))
    if tensors:
        weights = load_file(copy / "model.safetensors") | tensors
        save_file(
            {name: value for name, value in weights.items() if value is not None}, copy / "model.safetensors"
        )
    return copy


def test_names_of_the_first_files_are_understood(bert: Path, tmp_path: Path) -> None:
    weights = load_file(bert / "model.safetensors")
    old = {}
    for name, value in weights.items():
        parent = name.rsplit(".", 1)[0]
        if parent.endswith(("ln", "LayerNorm")):
            old[name] = None
            old[f"{parent}.gamma" if name.endswith("weight") else f"{parent}.beta"] = value
    old["bert.embeddings.position_ids"] = torch.arange(48)[None]
    first = changed(bert, tmp_path / "first", tensors=old)
    checkpoint = imported(first, tmp_path / "ours")
    assert torch.equal(checkpoint.weights.read("final_layernorm.weight"), weights["bert.encoder.ln.weight"])


@pytest.mark.parametrize(
    ("key", "value", "possible"),
    [
        ("position_embedding_type", "relative_key", "'absolute'"),
        ("type_vocab_size", 3, "2"),
        ("tie_word_embeddings", False, "True"),
        ("is_decoder", True, "False"),
        ("add_cross_attention", True, "False"),
        ("hidden_act", "relu", "gelu, gelu_python, gelu_new"),
        ("model_type", "roberta", "megatron-bert, bert, gpt2"),
        ("num_attention_heads", 5, "5 heads do not divide"),
    ],
)
def test_what_our_model_does_not_compute_is_refused(
    key: str, value: object, possible: str, bert: Path, tmp_path: Path
) -> None:
    other = changed(bert, tmp_path / "other", config={key: value})
    with pytest.raises(ConvertError, match=f"config.json: .*{possible}"):
        imported(other, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_scores_that_are_not_scaled_are_refused(tmp_path: Path) -> None:
    saved_model(SAVED[4], tmp_path / "theirs")
    other = changed(tmp_path / "theirs", tmp_path / "other", config={"scale_attn_weights": False})
    with pytest.raises(ConvertError, match="scale_attn_weights is False; possible is only True"):
        imported(other, tmp_path / "ours")


def test_missing_extra_and_misshapen_tensors_are_named_together(bert: Path, tmp_path: Path) -> None:
    tensors = {
        "bert.encoder.ln.weight": None,
        "classifier.weight": torch.ones(2, 32),
        "bert.encoder.layer.1.ln.bias": torch.ones(31),
    }
    other = changed(bert, tmp_path / "other", tensors=tensors)
    with pytest.raises(ConvertError) as error:
        imported(other, tmp_path / "ours")
    for told in (
        "missing: bert.encoder.ln.weight",
        "not of this model: classifier.weight",
        "of another shape: bert.encoder.layer.1.ln.bias [31] instead of [32]",
    ):
        assert told in str(error.value)


@pytest.mark.parametrize("copy", ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"])
def test_a_second_copy_is_accepted_if_it_is_equal(copy: str, bert: Path, tmp_path: Path) -> None:
    weights = load_file(bert / "model.safetensors")
    tied = weights[
        "bert.embeddings.word_embeddings.weight" if copy.endswith("weight") else "cls.predictions.bias"
    ]
    imported(changed(bert, tmp_path / "same", tensors={copy: tied.clone()}), tmp_path / "ours")
    other = changed(bert, tmp_path / "other", tensors={copy: tied + 1e-3})
    with pytest.raises(ConvertError, match=f"{copy} differs from .*, to which it is tied"):
        imported(other, tmp_path / "none")


def test_a_bare_encoder_gets_a_new_head_if_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_model(Saved("MegatronBertModel", "MegatronBertConfig", BERT), tmp_path / "theirs")
    with pytest.raises(ConvertError, match=r"it has no masked-LM head, .*Give --new_heads true"):
        imported(tmp_path / "theirs", tmp_path / "ours")
    checkpoint = imported(tmp_path / "theirs", tmp_path / "ours", new_heads=True)
    assert (
        "The masked-LM head is new: masked_lm_head.bias, masked_lm_head.dense.weight"
        in capsys.readouterr().out
    )
    assert not checkpoint.model.order_head
    head = checkpoint.weights.read("masked_lm_head.dense.weight")
    assert 0.01 < head.std() < 0.03
    again = imported(tmp_path / "theirs", tmp_path / "again", new_heads=True)
    assert torch.equal(again.weights.read("masked_lm_head.dense.weight"), head)


def test_rows_of_padding_are_left_out(tmp_path: Path) -> None:
    saved = replace(SAVED[0], settings=BERT | {"vocab_size": 256})
    saved_model(saved, tmp_path / "theirs")
    checkpoint = imported(tmp_path / "theirs", tmp_path / "ours")
    assert checkpoint.model.vocab_size == 203
    convert(ConvertOptions(checkpoint=tmp_path / "ours", output=tmp_path / "again"))
    table = load_file(tmp_path / "again" / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    whole = load_file(tmp_path / "theirs" / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(table, whole[:203])


def test_a_vocabulary_that_is_larger_than_the_model_is_refused(bert: Path, tmp_path: Path) -> None:
    larger = wordpiece_folder(tmp_path / "larger", size=300)
    with pytest.raises(TokenizerError, match=r"the tokenizer has 300 tokens, the model of .* 203"):
        imported(bert, tmp_path / "ours", tokenizer=larger)


def test_without_a_tokenizer_one_is_asked_for(bert: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(bert / name, bare / name)
    with pytest.raises(TokenizerError, match=r"it brings no tokenizer\. Give .* --tokenizer"):
        imported(bare, tmp_path / "ours")
    imported(bare, tmp_path / "ours", tokenizer=bert)


def test_an_index_that_leads_out_of_the_folder_is_refused(bert: Path, tmp_path: Path) -> None:
    other = changed(bert, tmp_path / "other")
    (other / "model.safetensors").rename(tmp_path / "model.safetensors")
    index = {"weight_map": {"a": "../model.safetensors"}}
    (other / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConvertError, match="which is not in the folder"):
        imported(other, tmp_path / "ours")


def test_quantised_weights_are_refused(bert: Path, tmp_path: Path) -> None:
    weight = torch.zeros(32, 32, dtype=torch.int8)
    other = changed(
        bert, tmp_path / "other", tensors={"bert.encoder.layer.0.attention.output.dense.weight": weight}
    )
    with pytest.raises(ConvertError, match=r"is stored as torch.int8, expected floating-point"):
        imported(other, tmp_path / "ours")
