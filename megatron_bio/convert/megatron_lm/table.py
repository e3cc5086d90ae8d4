"""Megatron-LM's names for our models, with the tensor-parallel ranks joined and the layers numbered through all stages.

The names are those of version 2.5, to which `names.canonical_name` brings the others.
"""

from dataclasses import dataclass

from torch import Tensor

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.table import Table, entry, weight_and_bias
from megatron_bio.convert.transformations import Transformation

HEAD = "masked_lm_head."
WORD_EMBEDDINGS = "language_model.embedding.word_embeddings.weight"
POSITION_EMBEDDINGS = "language_model.embedding.position_embeddings.weight"
TOKEN_TYPES = "language_model.embedding.tokentype_embeddings.weight"
POOLER = ("language_model.pooler.dense.weight", "language_model.pooler.dense.bias")
CLASSIFIER = "binary_head.weight"
HEAD_BIAS = "lm_head.bias"
_LAYER = (
    *("input_layernorm", "self_attention.query_key_value", "self_attention.dense"),
    *("post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
)


@dataclass(frozen=True)
class PaddedRows:
    """Rows of the vocabulary: V real ones, and padding that differs between us and Megatron-LM and is never read."""

    vocab_size: int
    padded_size: int
    """Rows of ours."""
    foreign_rows: int

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """[P, ...] -> [rows, ...], zeros behind V."""
        return (self._padded(ours, self.foreign_rows),)

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """[rows, ...] -> [P, ...], zeros behind V."""
        return self._padded(foreign[0], self.padded_size)

    def _padded(self, tensor: Tensor, rows: int) -> Tensor:
        padded = tensor.new_zeros((rows, *tensor.shape[1:]))
        padded[: self.vocab_size] = tensor[: self.vocab_size]
        return padded


def megatron_table(config: ModelConfig, vocabulary_rows: int) -> Table:
    """Return the table: every parameter of the model, each once, in the order in which Megatron-LM registers them."""
    assert config.vocab_size is not None, "a checkpoint says how many rows its vocabulary has"
    vocabulary = PaddedRows(config.vocab_size, padded_vocab_size(config.vocab_size), vocabulary_rows)
    bert = config.architecture == "bert"
    return (
        entry("embeddings.word_embeddings.weight", WORD_EMBEDDINGS, vocabulary),
        entry("embeddings.position_embeddings.weight", POSITION_EMBEDDINGS),
        *((entry("embeddings.tokentype_embeddings.weight", TOKEN_TYPES),) if bert else ()),
        *(
            item
            for layer in range(config.num_layers)
            for part in _LAYER
            for item in weight_and_bias(
                f"layers.{layer}.{part}", f"language_model.encoder.layers.{layer}.{part}"
            )
        ),
        *weight_and_bias("final_layernorm", "language_model.encoder.final_layernorm"),
        *(
            weight_and_bias("order_head.pooler", "language_model.pooler.dense")
            if bert and config.order_head
            else ()
        ),
        *(_masked_lm_head(vocabulary) if bert else ()),
        *(weight_and_bias("order_head.classifier", "binary_head") if bert and config.order_head else ()),
    )


def _masked_lm_head(vocabulary: Transformation) -> Table:
    return (
        entry("masked_lm_head.bias", HEAD_BIAS, vocabulary),
        *weight_and_bias("masked_lm_head.dense", "lm_head.dense"),
        *weight_and_bias("masked_lm_head.layernorm", "lm_head.layernorm"),
    )


def without_missing_head(table: Table, names: set[str]) -> tuple[Table, list[str]]:
    """Return the table without the masked-LM head if the checkpoint has nothing of it, and what is so left out."""
    head = [item for item in table if item.ours.startswith(HEAD)]
    if any(name in names for item in head for name in item.foreign):
        return table, []
    return tuple(item for item in table if item not in head), [item.ours for item in head]
