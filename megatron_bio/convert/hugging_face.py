"""Hugging Face's names and shapes for our models: one table each for MegatronBERT and GPT-2, read in both directions.

Names of ours are those of `models.build.build_model`. Their decoder weight is tied to the word embeddings, so it stands in no
table and in no file. Source: transformers, modeling_megatron_bert.py and modeling_gpt2.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.transformations import (
    QueryKeyValueColumns,
    QueryKeyValueSplit,
    Same,
    Transformation,
    Transposed,
    WithoutPadding,
)


@dataclass(frozen=True)
class Entry:
    """One tensor of ours, the foreign ones it becomes, and how."""

    ours: str
    foreign: tuple[str, ...]
    transformation: Transformation


Table = tuple[Entry, ...]


def hugging_face_table(config: ModelConfig) -> Table:
    """Return the table of the architecture: every parameter of the model, each once."""
    return _bert(config) if config.architecture == "bert" else _gpt2(config)


def to_foreign(table: Table, tensor: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the foreign names and contiguous tensors one by one; `tensor` returns one of ours by its name."""
    for entry in table:
        parts = entry.transformation.to_foreign(tensor(entry.ours))
        for name, part in zip(entry.foreign, parts, strict=True):
            yield name, part.contiguous()


def to_ours(table: Table, foreign: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield our names and contiguous tensors one by one; rows of padding are zeros."""
    for entry in table:
        parts = tuple(foreign[name] for name in entry.foreign)
        yield entry.ours, entry.transformation.to_ours(parts).contiguous()


def _entry(ours: str, foreign: str, transformation: Transformation | None = None) -> Entry:
    return Entry(ours, (foreign,), transformation or Same())


def _weight_and_bias(ours: str, foreign: str, weight: Transformation | None = None) -> Table:
    return (
        _entry(f"{ours}.weight", f"{foreign}.weight", weight),
        _entry(f"{ours}.bias", f"{foreign}.bias"),
    )


def _without_padding(config: ModelConfig) -> WithoutPadding:
    assert config.vocab_size is not None, "a checkpoint's configuration has the size of its vocabulary"
    return WithoutPadding(config.vocab_size, padded_vocab_size(config.vocab_size))


def _bert(config: ModelConfig) -> Table:
    vocabulary = _without_padding(config)
    ours, theirs = "embeddings", "bert.embeddings"
    return (
        _entry(f"{ours}.word_embeddings.weight", f"{theirs}.word_embeddings.weight", vocabulary),
        _entry(f"{ours}.position_embeddings.weight", f"{theirs}.position_embeddings.weight"),
        _entry(f"{ours}.tokentype_embeddings.weight", f"{theirs}.token_type_embeddings.weight"),
        *(
            entry
            for layer in range(config.num_layers)
            for entry in _bert_layer(f"layers.{layer}", f"bert.encoder.layer.{layer}", config)
        ),
        *_weight_and_bias("final_layernorm", "bert.encoder.ln"),
        *_weight_and_bias("order_head.pooler", "bert.pooler.dense"),
        *_weight_and_bias("order_head.classifier", "cls.seq_relationship"),
        *_weight_and_bias("masked_lm_head.dense", "cls.predictions.transform.dense"),
        *_weight_and_bias("masked_lm_head.layernorm", "cls.predictions.transform.LayerNorm"),
        _entry("masked_lm_head.bias", "cls.predictions.bias", vocabulary),
    )


def _bert_layer(ours: str, theirs: str, config: ModelConfig) -> Table:
    split = QueryKeyValueSplit(config.num_attention_heads)
    return (
        *_weight_and_bias(f"{ours}.input_layernorm", f"{theirs}.attention.ln"),
        *(
            Entry(
                f"{ours}.self_attention.query_key_value.{kind}",
                tuple(f"{theirs}.attention.self.{part}.{kind}" for part in ("query", "key", "value")),
                split,
            )
            for kind in ("weight", "bias")
        ),
        *_weight_and_bias(f"{ours}.self_attention.dense", f"{theirs}.attention.output.dense"),
        *_weight_and_bias(f"{ours}.post_attention_layernorm", f"{theirs}.ln"),
        *_weight_and_bias(f"{ours}.mlp.dense_h_to_4h", f"{theirs}.intermediate.dense"),
        *_weight_and_bias(f"{ours}.mlp.dense_4h_to_h", f"{theirs}.output.dense"),
    )


def _gpt2(config: ModelConfig) -> Table:
    return (
        _entry("embeddings.word_embeddings.weight", "transformer.wte.weight", _without_padding(config)),
        _entry("embeddings.position_embeddings.weight", "transformer.wpe.weight"),
        *(
            entry
            for layer in range(config.num_layers)
            for entry in _gpt2_layer(f"layers.{layer}", f"transformer.h.{layer}", config)
        ),
        *_weight_and_bias("final_layernorm", "transformer.ln_f"),
    )


def _gpt2_layer(ours: str, theirs: str, config: ModelConfig) -> Table:
    columns = QueryKeyValueColumns(config.num_attention_heads)
    fused = f"{ours}.self_attention.query_key_value"
    return (
        *_weight_and_bias(f"{ours}.input_layernorm", f"{theirs}.ln_1"),
        _entry(f"{fused}.weight", f"{theirs}.attn.c_attn.weight", columns),
        _entry(f"{fused}.bias", f"{theirs}.attn.c_attn.bias", columns),
        *_weight_and_bias(f"{ours}.self_attention.dense", f"{theirs}.attn.c_proj", Transposed()),
        *_weight_and_bias(f"{ours}.post_attention_layernorm", f"{theirs}.ln_2"),
        *_weight_and_bias(f"{ours}.mlp.dense_h_to_4h", f"{theirs}.mlp.c_fc", Transposed()),
        *_weight_and_bias(f"{ours}.mlp.dense_4h_to_h", f"{theirs}.mlp.c_proj", Transposed()),
    )
