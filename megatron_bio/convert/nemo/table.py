"""Megatron-LM's names for our models, as NeMo's archives have them; layers are numbered through all stages."""

from dataclasses import dataclass

from torch import Tensor

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.table import Entry, Table, entry, weight_and_bias
from megatron_bio.convert.transformations import WithoutPadding

HEAD = "masked_lm_head."


@dataclass(frozen=True)
class NoTokenTypes:
    """A table of token types for a model without: adding its zeros changes nothing. Made in the shape of the position table."""

    def to_foreign(self, ours: Tensor) -> tuple[Tensor, ...]:
        """Nothing: archives are not written."""
        raise NotImplementedError("archives are read only")

    def to_ours(self, foreign: tuple[Tensor, ...]) -> Tensor:
        """[positions, H] -> zeros [2, H]."""
        return foreign[0].new_zeros((2, foreign[0].shape[1]))


def nemo_table(config: ModelConfig, has_token_types: bool) -> Table:
    """Return the table: every parameter of the model, each once."""
    assert config.vocab_size is not None, "an archive says how many rows its vocabulary has"
    vocabulary = WithoutPadding(config.vocab_size, padded_vocab_size(config.vocab_size))
    ours, theirs = "embeddings", "language_model.embedding"
    positions = f"{theirs}.position_embeddings.weight"
    token_types = (
        entry(f"{ours}.tokentype_embeddings.weight", f"{theirs}.tokentype_embeddings.weight")
        if has_token_types
        else Entry(f"{ours}.tokentype_embeddings.weight", (positions,), NoTokenTypes())
    )
    bert = config.architecture == "bert"
    return (
        entry(f"{ours}.word_embeddings.weight", f"{theirs}.word_embeddings.weight", vocabulary),
        entry(f"{ours}.position_embeddings.weight", positions),
        *((token_types,) if bert else ()),
        *(
            item
            for layer in range(config.num_layers)
            for part in _LAYER
            for item in weight_and_bias(
                f"layers.{layer}.{part}", f"language_model.encoder.layers.{layer}.{part}"
            )
        ),
        *weight_and_bias("final_layernorm", "language_model.encoder.final_layernorm"),
        *(_order_head() if bert and config.order_head else ()),
        *(_masked_lm_head(vocabulary) if bert else ()),
    )


_LAYER = (
    *("input_layernorm", "self_attention.query_key_value", "self_attention.dense"),
    *("post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
)


def _order_head() -> Table:
    return (
        *weight_and_bias("order_head.pooler", "language_model.pooler.dense"),
        *weight_and_bias("order_head.classifier", "binary_head"),
    )


def _masked_lm_head(vocabulary: WithoutPadding) -> Table:
    return (
        *weight_and_bias("masked_lm_head.dense", "lm_head.dense"),
        *weight_and_bias("masked_lm_head.layernorm", "lm_head.layernorm"),
        entry("masked_lm_head.bias", "lm_head.bias", vocabulary),
    )
