"""Megatron Core's names of our models' parameters, each layer by its number, read in both directions.

Rows of `linear_qkv` are ordered [groups, heads of the group + key + value, D]; with as many groups as heads that is ours. The
norms before attention and MLP have the names that Transformer Engine gives them, fused into the matrix that follows; Megatron
Core writes its own norms under the same names. Source: megatron-core 0.16, `models/bert/bert_model.py`,
`models/gpt/gpt_model.py`, `transformer/transformer_layer.py` (`sharded_state_dict_keys_map`).
"""

from dataclasses import dataclass

from torch import Tensor

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.table import Table, entry, weight_and_bias

WORDS = "embedding.word_embeddings.weight"
POSITIONS = "embedding.position_embeddings.weight"
TOKEN_TYPES = "embedding.tokentype_embeddings.weight"
MASKED_LM_HEAD = "lm_head.dense.weight"
ORDER_HEAD = "binary_head.weight"
OUTPUT_WEIGHT = "output_layer.weight"
OUTPUT_BIAS = "output_layer.bias"
STACKS = {"bert": "encoder", "gpt": "decoder"}
"""What the layers of each architecture are called."""


@dataclass(frozen=True)
class VocabularyRows:
    """The real tokens of a table over the vocabulary, padded by zeros to the rows of either side."""

    vocab_size: int
    ours: int
    theirs: int

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """[P, ...] -> [rows of theirs, ...]."""
        return (self._padded(ours, self.theirs),)

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """[rows of theirs, ...] -> [P, ...]."""
        return self._padded(foreign[0], self.ours)

    def _padded(self, table: Tensor, rows: int) -> Tensor:
        padded = table.new_zeros((rows, *table.shape[1:]))
        padded[: self.vocab_size] = table[: self.vocab_size]
        return padded


def megatron_core_table(config: ModelConfig, vocabulary_rows: int) -> Table:
    """Return the table of the model: every parameter once; theirs has `vocabulary_rows` rows of the vocabulary."""
    assert config.vocab_size is not None, "a checkpoint's configuration has the size of its vocabulary"
    vocabulary = VocabularyRows(config.vocab_size, padded_vocab_size(config.vocab_size), vocabulary_rows)
    bert = config.architecture == "bert"
    stack = STACKS[config.architecture]
    return (
        entry("embeddings.word_embeddings.weight", WORDS, vocabulary),
        entry("embeddings.position_embeddings.weight", POSITIONS),
        *((entry("embeddings.tokentype_embeddings.weight", TOKEN_TYPES),) if bert else ()),
        *(
            item
            for layer in range(config.num_layers)
            for item in _layer(f"layers.{layer}", f"{stack}.layers.{layer}")
        ),
        *weight_and_bias("final_layernorm", f"{stack}.final_layernorm"),
        *(_bert_heads(config.order_head, vocabulary) if bert else ()),
    )


def _layer(ours: str, theirs: str) -> Table:
    return (
        *_fused_norm(f"{ours}.input_layernorm", f"{theirs}.self_attention.linear_qkv"),
        *weight_and_bias(f"{ours}.self_attention.query_key_value", f"{theirs}.self_attention.linear_qkv"),
        *weight_and_bias(f"{ours}.self_attention.dense", f"{theirs}.self_attention.linear_proj"),
        *_fused_norm(f"{ours}.post_attention_layernorm", f"{theirs}.mlp.linear_fc1"),
        *weight_and_bias(f"{ours}.mlp.dense_h_to_4h", f"{theirs}.mlp.linear_fc1"),
        *weight_and_bias(f"{ours}.mlp.dense_4h_to_h", f"{theirs}.mlp.linear_fc2"),
    )


def _fused_norm(ours: str, theirs: str) -> Table:
    return tuple(entry(f"{ours}.{kind}", f"{theirs}.layer_norm_{kind}") for kind in ("weight", "bias"))


def _bert_heads(order_head: bool, vocabulary: VocabularyRows) -> Table:
    order = (
        *weight_and_bias("order_head.pooler", "pooler.dense"),
        *weight_and_bias("order_head.classifier", "binary_head"),
    )
    return (
        *weight_and_bias("masked_lm_head.dense", "lm_head.dense"),
        *weight_and_bias("masked_lm_head.layernorm", "lm_head.layer_norm"),
        entry("masked_lm_head.bias", OUTPUT_BIAS, vocabulary),
        *(order if order_head else ()),
    )
