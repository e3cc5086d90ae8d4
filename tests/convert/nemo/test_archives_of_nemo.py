"""Archives as NeMo writes them, of every layout, become our tensors."""

import gc
from pathlib import Path

import pytest
import torch

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import our_shapes
from megatron_bio.convert.nemo.open import open_checkpoint, recognises
from megatron_bio.tokens.tokenizer import Tokenizer
from tests.convert.nemo.tiny_archives import (
    CONFIG,
    HEADS,
    HIDDEN,
    LAYERS,
    POSITIONS,
    WIDE,
    WORDS,
    archive,
    assert_same,
    parts,
    whole,
)

LAYOUTS = [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)]


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize(("tensor", "pipeline"), LAYOUTS)
def test_every_layout(tmp_path: Path, tensor: int, pipeline: int, mode: str) -> None:
    tensors = whole(tensor)
    settings = CONFIG | {"tensor_model_parallel_size": tensor, "pipeline_model_parallel_size": pipeline}
    path = archive(tmp_path / "a.nemo", parts(tensors, tensor, pipeline), settings, mode)
    assert recognises(path)
    checkpoint = open_checkpoint(path, None)
    assert checkpoint.model == ModelConfig(
        architecture="bert",
        num_layers=LAYERS,
        hidden_size=HIDDEN,
        num_attention_heads=HEADS,
        ffn_hidden_size=WIDE,
        max_position_embeddings=POSITIONS,
        vocab_size=len(WORDS),
        activation="megatron",
    )
    assert {name: tuple(value.shape) for name, value in checkpoint.weights.described().items()} == our_shapes(
        checkpoint.model
    )
    assert checkpoint.facts["tensor_parallel"] == tensor and checkpoint.facts["pipeline_parallel"] == pipeline
    assert_same(checkpoint, tensors)


@pytest.mark.parametrize("tensor", [1, 2])
def test_the_order_of_queries_keys_and_values_in_legacy_archives(tmp_path: Path, tensor: int) -> None:
    """`megatron_legacy`: rows [3, n, D] in each part. Old names too: transformer, attention; O2's prefix."""
    tensors = whole(tensor)
    files = parts(tensors, tensor, 1, "model.module.")
    for file in files.values():
        for name in list(file):
            value = file.pop(name)
            if "query_key_value" in name:
                by_head = value.view(HEADS // tensor, 3, HIDDEN // HEADS, *value.shape[1:])
                value = by_head.transpose(0, 1).reshape(value.shape).clone()
            file[name.replace(".encoder.", ".transformer.").replace(".self_attention.", ".attention.")] = (
                value
            )
    checkpoint = open_checkpoint(
        archive(tmp_path / "a.nemo", files, CONFIG | {"megatron_legacy": True}), None
    )
    assert checkpoint.facts["order_of_query_key_value"] == "3, heads, head size"
    assert_same(checkpoint, tensors)


def test_the_vocabulary_comes_with_it_and_goes_with_it(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", parts(whole(1), 1, 1), CONFIG, "w:gz"), None)
    assert checkpoint.tokenizer is not None
    tokenizer = Tokenizer.load(checkpoint.tokenizer)
    assert tokenizer.vocab_size == len(WORDS) and tokenizer.encode_batch(["W3"])[0].tolist() == [8]
    folder = checkpoint.tokenizer
    del checkpoint
    gc.collect()
    assert not folder.exists()


def test_the_number_of_tokens(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.nemo", parts(whole(1), 1, 1), CONFIG)
    assert open_checkpoint(path, 90).model.vocab_size == 90
    with pytest.raises(ConvertError, match="128 rows, the tokenizer 129 tokens"):
        open_checkpoint(path, 129)
    alone = archive(
        tmp_path / "b.nemo",
        parts(whole(1), 1, 1),
        {key: value for key, value in CONFIG.items() if key != "tokenizer"},
    )
    assert open_checkpoint(alone, None).model.vocab_size == 128
    assert open_checkpoint(alone, None).tokenizer is None


def test_models_without_some_of_the_heads(tmp_path: Path) -> None:
    tensors = whole(1)
    encoder = {name: value for name, value in tensors.items() if not name.startswith("lm_head")}
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", parts(encoder, 1, 1), CONFIG), None)
    assert checkpoint.facts["missing"] and all(
        name.startswith("masked_lm_head.") for name in checkpoint.facts["missing"]
    )
    no_order = {
        name: value
        for name, value in tensors.items()
        if not name.startswith(("binary_head", "language_model.pooler")) and "tokentype" not in name
    }
    checkpoint = open_checkpoint(
        archive(tmp_path / "b.nemo", parts(no_order, 1, 1), CONFIG | {"bert_binary_head": False}), None
    )
    assert not checkpoint.model.order_head
    assert_same(
        checkpoint,
        no_order | {"language_model.embedding.tokentype_embeddings.weight": torch.zeros(2, HIDDEN)},
    )
    pooled = {name: value for name, value in tensors.items() if not name.startswith("binary_head")}
    checkpoint = open_checkpoint(archive(tmp_path / "c.nemo", parts(pooled, 1, 1), CONFIG), None)
    assert len(checkpoint.facts["left_out"]) == 2 and not checkpoint.model.order_head


def test_gpt(tmp_path: Path) -> None:
    tensors = whole(2, "gpt")
    settings = CONFIG | {"target": "nemo.MegatronGPTModel", "bias_activation_fusion": True}
    checkpoint = open_checkpoint(archive(tmp_path / "a.nemo", parts(tensors, 2, 2), settings), 100)
    assert (checkpoint.model.architecture, checkpoint.model.activation) == ("gpt", "gelu_tanh")
    assert_same(checkpoint, tensors)


def test_the_activation(tmp_path: Path) -> None:
    files = parts(whole(1), 1, 1)
    exact = archive(tmp_path / "a.nemo", files, CONFIG | {"bias_gelu_fusion": False})
    assert open_checkpoint(exact, None).model.activation == "gelu"
    with pytest.raises(ConvertError, match="openai_gelu"):
        open_checkpoint(
            archive(tmp_path / "b.nemo", files, CONFIG | {"bias_gelu_fusion": False, "openai_gelu": True}),
            None,
        )
