"""What a model costs, as pure arithmetic: its parameter tensors and the floating point operations of training.

Legend: S sequence length, P predicted positions of a row, A pairs of query and key that attention computes in a row, L layers,
H hidden size, F width inside the MLP, V rows of the word table (the vocabulary padded to a multiple of 128).
A multiplication with its addition counts 2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig, padded_vocab_size

FLOPS_FORMULA = "3 x [L (2S(4H² + 2HF) + 4AH) + P (2HV + 2H² for bert)] per row; backward = 2 x forward"
"""Executed operations of `training_flops_per_row`, for people; A is `attended_pairs`."""

Part = Literal["embeddings", "block", "final_layernorm", "masked_lm_head", "order_head"]


@dataclass(frozen=True)
class ParameterShape:
    """One parameter tensor as the models of this library build it."""

    name: str
    shape: tuple[int, ...]
    split: int | None
    """The dimension that tensor parallelism splits, or None."""
    part: Part

    @property
    def elements(self) -> int:
        """Elements of the whole tensor."""
        return math.prod(self.shape)

    def local(self, tensor_parallel: int) -> tuple[int, ...]:
        """Return the shape that one of `tensor_parallel` ranks holds."""
        sizes = list(self.shape)
        if self.split is not None:
            sizes[self.split] //= tensor_parallel
        return tuple(sizes)


def table_rows(model: ModelConfig) -> int:
    """Return V; refuse a model whose vocabulary is not known."""
    if model.vocab_size is None:
        raise ConfigurationError(
            "model.vocab_size: expected the number of tokens, found nothing; give the size of your tokenizer's vocabulary "
            "(30522 for BERT's, 50257 for GPT-2's, 28896 for BioMedLM's)."
        )
    return padded_vocab_size(model.vocab_size)


def _norm_parameters(name: str, hidden: int, part: Part) -> Iterator[ParameterShape]:
    for kind in ("weight", "bias"):
        yield ParameterShape(f"{name}.{kind}", (hidden,), None, part)


def block_parameters(model: ModelConfig) -> Iterator[ParameterShape]:
    """Give the parameters of one layer."""
    hidden, inner = model.hidden_size, model.ffn_size
    pre = model.norm_order == "pre"
    norms = (
        ("input_layernorm", "post_attention_layernorm") if pre else ("attention_layernorm", "mlp_layernorm")
    )
    for norm in norms:
        yield from _norm_parameters(norm, hidden, "block")
    for name, shape, split in (
        ("self_attention.query_key_value.weight", (3 * hidden, hidden), 0),
        ("self_attention.query_key_value.bias", (3 * hidden,), 0),
        ("self_attention.dense.weight", (hidden, hidden), 1),
        ("self_attention.dense.bias", (hidden,), None),
        ("mlp.dense_h_to_4h.weight", (inner, hidden), 0),
        ("mlp.dense_h_to_4h.bias", (inner,), 0),
        ("mlp.dense_4h_to_h.weight", (hidden, inner), 1),
        ("mlp.dense_4h_to_h.bias", (hidden,), None),
    ):
        yield ParameterShape(name, shape, split, "block")


def embedding_parameters(model: ModelConfig) -> Iterator[ParameterShape]:
    """Give the tables of the input."""
    hidden = model.hidden_size
    yield ParameterShape("embeddings.word_embeddings.weight", (table_rows(model), hidden), 0, "embeddings")
    yield ParameterShape(
        "embeddings.position_embeddings.weight", (model.max_position_embeddings, hidden), None, "embeddings"
    )
    if model.architecture == "bert":
        yield ParameterShape("embeddings.tokentype_embeddings.weight", (2, hidden), None, "embeddings")
    if model.norm_order == "post":
        yield from _norm_parameters("embeddings.layernorm", hidden, "embeddings")


def head_parameters(model: ModelConfig) -> Iterator[ParameterShape]:
    """Give the parameters behind the blocks; the output layer itself is the word table."""
    hidden = model.hidden_size
    if model.norm_order == "pre":
        yield from _norm_parameters("final_layernorm", hidden, "final_layernorm")
    if model.architecture == "gpt":
        return
    yield ParameterShape("masked_lm_head.bias", (table_rows(model),), 0, "masked_lm_head")
    yield ParameterShape("masked_lm_head.dense.weight", (hidden, hidden), None, "masked_lm_head")
    for name in ("dense.bias", "layernorm.weight", "layernorm.bias"):
        yield ParameterShape(f"masked_lm_head.{name}", (hidden,), None, "masked_lm_head")
    if not model.order_head:
        return
    for name, width in (("pooler", hidden), ("classifier", 2)):
        yield ParameterShape(f"order_head.{name}.weight", (width, hidden), None, "order_head")
        yield ParameterShape(f"order_head.{name}.bias", (width,), None, "order_head")


def parameter_shapes(model: ModelConfig) -> list[ParameterShape]:
    """Return every parameter tensor of the whole model, the tied table once, with its full name."""
    blocks = (
        ParameterShape(f"layers.{layer}.{shape.name}", shape.shape, shape.split, shape.part)
        for layer in range(model.num_layers)
        for shape in block_parameters(model)
    )
    return [*embedding_parameters(model), *blocks, *head_parameters(model)]


def parameter_count(model: ModelConfig) -> dict[str, int]:
    """Return the elements of all parameters by part, padded vocabulary rows included."""
    counts: dict[str, int] = {}
    for shape in parameter_shapes(model):
        part = "blocks" if shape.part == "block" else shape.part
        counts[part] = counts.get(part, 0) + shape.elements
    return counts


def masked_budget(probability: float, sequence_length: int) -> int:
    """Return the slots for predictions of a BERT row: probability x length, rounded up to a multiple of 8.

    The head runs on all of them, used or not.
    """
    return -(-math.ceil(probability * sequence_length) // 8) * 8


def attention_core_flops(
    model: ModelConfig, sequence_length: int, attended_pairs: float | None = None
) -> float:
    """Return forward operations of scores and context of one layer and row, by default of every position with every position."""
    pairs = sequence_length**2 if attended_pairs is None else attended_pairs
    return 4.0 * pairs * model.hidden_size


def block_flops(model: ModelConfig, sequence_length: int, attended_pairs: float | None = None) -> float:
    """Return forward operations of one layer for one row."""
    hidden, inner = model.hidden_size, model.ffn_size
    matrices = 4 * hidden * hidden + 2 * hidden * inner
    return 2.0 * sequence_length * matrices + attention_core_flops(model, sequence_length, attended_pairs)


def head_flops(model: ModelConfig, predictions_per_row: float) -> float:
    """Return forward operations of the output layer (and BERT's transform before it) for one row.

    BERT's sentence-order head, two small products per sample, is left out.
    """
    hidden = model.hidden_size
    transform = 2.0 * hidden * hidden if model.architecture == "bert" else 0.0
    return predictions_per_row * (2.0 * hidden * table_rows(model) + transform)


def training_flops_per_row(
    model: ModelConfig,
    sequence_length: int,
    predictions_per_row: float,
    attended_pairs: float | None = None,
) -> float:
    """Return the operations of forward and backward of one row without recomputation (`FLOPS_FORMULA`).

    Executed operations: attention over `attended_pairs` of query and key, by default over the whole row, masked or not; the output
    layer on `predictions_per_row` positions only (all `sequence_length` for gpt, the masked slots for bert). `model.vocab_size`
    must be set.
    """
    forward = model.num_layers * block_flops(model, sequence_length, attended_pairs)
    return 3.0 * (forward + head_flops(model, predictions_per_row))
