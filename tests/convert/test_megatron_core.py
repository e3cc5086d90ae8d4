"""torch_dist folders: round trips keep every bit; what is incomplete, untrue or made to harm is refused with the reason."""

import os
import pickle
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.config.errors import UserError
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_core.open import open_checkpoint, recognises
from megatron_bio.convert.megatron_core.write import write_checkpoint
from megatron_bio.convert.sources import Checkpoint
from tests.convert.tiny_runs import Tensors, random_model, read_all, wordpiece_folder

SIZES = {
    "num_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
    "vocab_size": 100,
}
MODELS = [
    ModelConfig(architecture="bert", activation="megatron", **SIZES),
    ModelConfig(architecture="bert", activation="gelu", order_head=False, **SIZES),
    ModelConfig(architecture="gpt", activation="gelu_tanh", layernorm_epsilon=1e-3, **SIZES),
]
GPT = MODELS[2]


def tensors(config: ModelConfig) -> dict[str, torch.Tensor]:
    """Random weights, zeros where the vocabulary is padding."""
    found = {name: value.detach().to_local() for name, value in random_model(config).named_parameters()}
    for name, value in found.items():
        if value.shape[0] == 128:
            found[name] = value.clone()
            found[name][config.vocab_size :] = 0
    return found


def write(
    folder: Path, config: ModelConfig, moments: bool = False, **options: Any
) -> dict[str, torch.Tensor]:
    weights = tensors(config)
    kept = {
        f"{name}.{kind}": value + 1 for name, value in weights.items() for kind in ("exp_avg", "exp_avg_sq")
    }
    for value in kept.values():
        if value.shape[0] == 128:
            value[config.vocab_size :] = 0
    checkpoint = Checkpoint(
        format="megatron_bio",
        path=folder,
        model=config,
        weights=Tensors(weights),
        moments=Tensors(kept) if moments else None,
        step=12,
    )
    folder.mkdir(exist_ok=True)
    write_checkpoint(
        checkpoint,
        folder,
        ConvertOptions(to_format="megatron_core", checkpoint=folder, output=folder, **options),
    )
    return weights | kept if moments else weights


def test_what_megatron_lm_compares_and_the_samples_go_along(tmp_path: Path) -> None:
    checkpoint = Checkpoint(
        format="megatron_bio",
        path=tmp_path,
        model=MODELS[0],
        weights=Tensors(tensors(MODELS[0])),
        step=12,
        tokenizer=wordpiece_folder(tmp_path / "tokens", 100),
        training={"samples": 768},
    )
    folder = tmp_path / "theirs"
    folder.mkdir()
    write_checkpoint(
        checkpoint, folder, ConvertOptions(to_format="megatron_core", checkpoint=folder, output=folder)
    )
    args = torch.load(folder / "iter_0000012/common.pt", weights_only=False)["args"]
    assert (args.tokenizer_type, args.consumed_train_samples) == ("BertWordPieceLowerCase", 768)
    assert open_checkpoint(folder, 100).training == {"samples": 768}


@pytest.fixture
def gpt(tmp_path: Path) -> Path:
    write(tmp_path, GPT)
    return tmp_path / "iter_0000012"


def change_common(folder: Path, **arguments: Any) -> None:
    common = torch.load(folder / "common.pt", weights_only=False)
    vars(common["args"]).update(arguments)
    torch.save(common, folder / "common.pt")


def change_index(folder: Path, change: Any) -> None:
    with (folder / ".metadata").open("rb") as file:
        index = pickle.load(file)
    change(index)
    (folder / ".metadata").write_bytes(pickle.dumps(index))


@pytest.mark.parametrize("config", MODELS, ids=["bert", "bert-without-order-head", "gpt"])
@pytest.mark.parametrize("multiple", [128, 1, 512])
def test_round_trip(tmp_path: Path, config: ModelConfig, multiple: int) -> None:
    written = write(tmp_path, config, moments=True, vocabulary_multiple=multiple)
    assert recognises(tmp_path)
    checkpoint = open_checkpoint(tmp_path, config.vocab_size)
    assert checkpoint.model == ModelConfig(**{**vars(config), "ffn_hidden_size": config.ffn_size})
    assert checkpoint.step == 12
    assert checkpoint.facts["vocabulary_rows"] == -(-config.vocab_size // multiple) * multiple
    found = read_all(checkpoint.weights) | read_all(checkpoint.moments)
    assert found.keys() == written.keys()
    for name, value in written.items():
        assert torch.equal(found[name], value), name


def test_rounded(tmp_path: Path) -> None:
    written = write(tmp_path, GPT, precision="bf16")
    checkpoint = open_checkpoint(tmp_path, GPT.vocab_size)
    assert checkpoint.facts["dtype"] == "bfloat16"
    for name, value in read_all(checkpoint.weights).items():
        assert torch.equal(value, written[name].bfloat16()), name


def test_without_a_tokenizer_all_rows_are_tokens(gpt: Path) -> None:
    checkpoint = open_checkpoint(gpt, None)
    assert checkpoint.model.vocab_size == 128
    assert "unknown" in checkpoint.facts["vocabulary_padding"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("swiglu", True),
        ("normalization", "RMSNorm"),
        ("position_embedding_type", "rope"),
        ("num_experts", 8),
        ("kv_channels", 8),
        ("num_layers", 3),
        ("num_attention_heads", None),
    ],
)
def test_refuses_options(gpt: Path, option: str, value: object) -> None:
    change_common(gpt, **{option: value})
    with pytest.raises(ConvertError, match=option) as refused:
        open_checkpoint(gpt, 100)
    assert str(value) in str(refused.value)


def test_refuses_what_megatron_core_computes_differently(tmp_path: Path) -> None:
    for name, config in {
        "norm_order": ModelConfig(architecture="bert", norm_order="post", **SIZES),
        "scale_attention_by_inverse_layer": ModelConfig(
            architecture="gpt", scale_attention_by_inverse_layer=True, **SIZES
        ),
        "activation": ModelConfig(architecture="bert", activation="gelu_tanh", **SIZES),
    }.items():
        with pytest.raises(ConvertError, match=name):
            write(tmp_path, config)


def test_refuses_other_backends(gpt: Path) -> None:
    (gpt / "metadata.json").write_text('{"sharded_backend": "zarr", "sharded_backend_version": 1}')
    assert recognises(gpt)
    with pytest.raises(ConvertError, match="zarr"):
        open_checkpoint(gpt, 100)


NAME = "decoder.layers.mlp.linear_fc1.bias"


def missing(index: Any) -> None:
    del index.state_dict_metadata[NAME]


def left_over(index: Any) -> None:
    index.state_dict_metadata["decoder.extra"] = index.state_dict_metadata["decoder.final_layernorm.bias"]
    for place in [place for place in index.storage_data if place.fqn == "decoder.final_layernorm.bias"]:
        index.storage_data[type(place)("decoder.extra", place.offset)] = index.storage_data[place]


def hole(index: Any) -> None:
    index.state_dict_metadata[NAME].chunks.pop()


def twice(index: Any) -> None:
    chunks = index.state_dict_metadata[NAME].chunks
    chunks[1] = chunks[0]


def misshapen(index: Any) -> None:
    entry = index.state_dict_metadata[NAME]
    entry.size = torch.Size((2, 32))
    for chunk in entry.chunks:
        chunk.sizes = torch.Size((1, 32))


def too_large(index: Any) -> None:
    entry = index.state_dict_metadata[NAME]
    entry.size = torch.Size((1 << 40, 64))


def outside(index: Any) -> None:
    for place, stored in index.storage_data.items():
        if place.fqn == NAME:
            stored.relative_path = "../../secret"


def untied(index: Any) -> None:
    index.state_dict_metadata["output_layer.weight"] = index.state_dict_metadata[
        "embedding.word_embeddings.weight"
    ]
    for place in [place for place in index.storage_data if "word_embeddings" in place.fqn]:
        index.storage_data[type(place)("output_layer.weight", place.offset)] = index.storage_data[place]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (missing, "missing: decoder.layers.0.mlp.linear_fc1.bias"),
        (left_over, "not of this model: decoder.extra"),
        (hole, NAME),
        (twice, "twice"),
        (misshapen, "of another shape"),
        (too_large, NAME),
        (outside, "secret"),
        (untied, "output_layer.weight"),
    ],
)
def test_refuses_an_index_that_is_untrue(gpt: Path, change: Any, reason: str) -> None:
    change_index(gpt, change)
    with pytest.raises(UserError, match=reason):
        read_all(open_checkpoint(gpt, 100).weights)


class Harm:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("file", [".metadata", "common.pt"])
def test_refuses_pickles_made_to_harm(gpt: Path, file: str) -> None:
    witness = gpt / "harmed"
    if file == "common.pt":
        torch.save({"args": Namespace(num_layers=Harm(witness))}, gpt / file)
    else:
        (gpt / file).write_bytes(pickle.dumps(Harm(witness)))
    with pytest.raises(UserError, match="mkdir"):
        open_checkpoint(gpt, 100)
    assert not witness.exists()


def test_refuses_a_file_that_is_cut_off(gpt: Path) -> None:
    (data,) = gpt.glob("*.distcp")
    os.truncate(data, data.stat().st_size // 2)
    with pytest.raises(ConvertError, match="distcp"):
        open_checkpoint(gpt, 100)


def test_refuses_a_missing_folder(gpt: Path) -> None:
    shutil.rmtree(gpt)
    assert not recognises(gpt.parent)
    with pytest.raises(ConvertError, match="not there"):
        open_checkpoint(gpt.parent, 100)


def test_openai_gelu_is_nothing_to_megatron_core(gpt: Path) -> None:
    """Its models have no such option; only the fused kernel computes tanh."""
    change_common(gpt, bias_gelu_fusion=False, openai_gelu=True)
    assert open_checkpoint(gpt, 100).model.activation_name == "gelu"
