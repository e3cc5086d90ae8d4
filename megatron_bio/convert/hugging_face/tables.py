"""Hugging Face's names and shapes for our models: one table each for MegatronBERT, BERT and GPT-2, read in both directions.

Names of ours are those of `models.build.build_model`. Their decoder weight is tied to the word embeddings, so it stands in no
table and in no file. Source: transformers, modeling_megatron_bert.py, modeling_bert.py and modeling_gpt2.py.
"""

from dataclasses import dataclass

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.table import Entry, Table, entry, weight_and_bias
from megatron_bio.convert.transformations import (
    QueryKeyValueColumns,
    QueryKeyValueSplit,
    Transposed,
    WithoutPadding,
)


@dataclass(frozen=True)
class _BertNames:
    """Where the two kinds of BERT differ: our layer norms and theirs."""

    top: tuple[str, str]
    """The one outside of the layers."""
    attention: tuple[str, str]
    mlp: tuple[str, str]


_MEGATRON = _BertNames(
    top=("final_layernorm", "bert.encoder.ln"),
    attention=("input_layernorm", "attention.ln"),
    mlp=("post_attention_layernorm", "ln"),
)
_DEVLIN = _BertNames(
    top=("embeddings.layernorm", "bert.embeddings.LayerNorm"),
    attention=("attention_layernorm", "attention.output.LayerNorm"),
    mlp=("mlp_layernorm", "output.LayerNorm"),
)


def hugging_face_table(config: ModelConfig) -> Table:
    """Return the table of the architecture: every parameter of the model, each once."""
    if config.architecture == "gpt":
        return _gpt2(config)
    return _bert(config, _DEVLIN if config.norm_order == "post" else _MEGATRON)


def _without_padding(config: ModelConfig) -> WithoutPadding:
    assert config.vocab_size is not None, "a checkpoint's configuration has the size of its vocabulary"
    return WithoutPadding(config.vocab_size, padded_vocab_size(config.vocab_size))


def _bert(config: ModelConfig, names: _BertNames) -> Table:
    vocabulary = _without_padding(config)
    ours, theirs = "embeddings", "bert.embeddings"
    order_head = (
        *weight_and_bias("order_head.pooler", "bert.pooler.dense"),
        *weight_and_bias("order_head.classifier", "cls.seq_relationship"),
    )
    return (
        entry(f"{ours}.word_embeddings.weight", f"{theirs}.word_embeddings.weight", vocabulary),
        entry(f"{ours}.position_embeddings.weight", f"{theirs}.position_embeddings.weight"),
        entry(f"{ours}.tokentype_embeddings.weight", f"{theirs}.token_type_embeddings.weight"),
        *weight_and_bias(*names.top),
        *(
            item
            for layer in range(config.num_layers)
            for item in _bert_layer(f"layers.{layer}", f"bert.encoder.layer.{layer}", config, names)
        ),
        *(order_head if config.order_head else ()),
        *weight_and_bias("masked_lm_head.dense", "cls.predictions.transform.dense"),
        *weight_and_bias("masked_lm_head.layernorm", "cls.predictions.transform.LayerNorm"),
        entry("masked_lm_head.bias", "cls.predictions.bias", vocabulary),
    )


def _bert_layer(ours: str, theirs: str, config: ModelConfig, names: _BertNames) -> Table:
    split = QueryKeyValueSplit(config.num_attention_heads)
    return (
        *weight_and_bias(f"{ours}.{names.attention[0]}", f"{theirs}.{names.attention[1]}"),
        *(
            Entry(
                f"{ours}.self_attention.query_key_value.{kind}",
                tuple(f"{theirs}.attention.self.{part}.{kind}" for part in ("query", "key", "value")),
                split,
            )
            for kind in ("weight", "bias")
        ),
        *weight_and_bias(f"{ours}.self_attention.dense", f"{theirs}.attention.output.dense"),
        *weight_and_bias(f"{ours}.{names.mlp[0]}", f"{theirs}.{names.mlp[1]}"),
        *weight_and_bias(f"{ours}.mlp.dense_h_to_4h", f"{theirs}.intermediate.dense"),
        *weight_and_bias(f"{ours}.mlp.dense_4h_to_h", f"{theirs}.output.dense"),
    )


def _gpt2(config: ModelConfig) -> Table:
    return (
        entry("embeddings.word_embeddings.weight", "transformer.wte.weight", _without_padding(config)),
        entry("embeddings.position_embeddings.weight", "transformer.wpe.weight"),
        *(
            item
            for layer in range(config.num_layers)
            for item in _gpt2_layer(f"layers.{layer}", f"transformer.h.{layer}", config)
        ),
        *weight_and_bias("final_layernorm", "transformer.ln_f"),
    )


def _gpt2_layer(ours: str, theirs: str, config: ModelConfig) -> Table:
    columns = QueryKeyValueColumns(config.num_attention_heads)
    fused = f"{ours}.self_attention.query_key_value"
    return (
        *weight_and_bias(f"{ours}.input_layernorm", f"{theirs}.ln_1"),
        entry(f"{fused}.weight", f"{theirs}.attn.c_attn.weight", columns),
        entry(f"{fused}.bias", f"{theirs}.attn.c_attn.bias", columns),
        *weight_and_bias(f"{ours}.self_attention.dense", f"{theirs}.attn.c_proj", Transposed()),
        *weight_and_bias(f"{ours}.post_attention_layernorm", f"{theirs}.ln_2"),
        *weight_and_bias(f"{ours}.mlp.dense_h_to_4h", f"{theirs}.mlp.c_fc", Transposed()),
        *weight_and_bias(f"{ours}.mlp.dense_4h_to_h", f"{theirs}.mlp.c_proj", Transposed()),
    )
