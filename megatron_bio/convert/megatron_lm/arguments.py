"""Megatron-LM's `args`, an argparse.Namespace, and our model's configuration, both ways.

What our models cannot be is refused by name and value. Source: Megatron-LM, arguments.py and model/transformer.py of v1.0 to
core 0.10; a missing argument has the value that a version without it computes.
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_arguments import arguments_of_model
from megatron_bio.convert.sources import Told

_ONLY: dict[str, tuple[Any, ...]] = {
    "position_embedding_type": ("learned_absolute",),
    "use_rotary_position_embeddings": (False,),
    "normalization": ("LayerNorm",),
    "apply_layernorm_1p": (False,),
    "swiglu": (False,),
    "squared_relu": (False,),
    "add_bias_linear": (True,),
    "untie_embeddings_and_output_weights": (False,),
    "apply_residual_connection_post_layernorm": (False,),
    "group_query_attention": (False,),
    "num_experts": (None,),
    "qk_layernorm": (False,),
    "add_position_embedding": (True,),
    "decoder_first_pipeline_num_layers": (None,),
    "decoder_last_pipeline_num_layers": (None,),
    "multi_latent_attention": (False,),
    "glu_activation": (None,),
}
"""Arguments that change the mathematics, with the values that our models have."""


@dataclass(frozen=True)
class Seen:
    """What the tensors tell: sizes that the arguments must agree with, or that stand in for missing ones."""

    architecture: Literal["bert", "gpt"]
    num_layers: int
    hidden_size: int
    ffn_hidden_size: int
    max_position_embeddings: int
    order_head: bool


def model_of(path: Path, args: Namespace, seen: Seen, vocab_size: int, told: Told) -> ModelConfig:
    """Return the model that tensors and arguments describe.

    `told` is the user's word for a checkpoint without arguments. Raises `ConvertError` for one that ours cannot be, or whose
    number of attention heads or activation nothing tells.
    """
    known = vars(args)
    for name, values in _ONLY.items():
        if known.get(name) is not None and known[name] not in values:
            raise ConvertError(
                f"{path}: args.{name} is {known[name]!r}; possible is only {values[0]!r}, for our models compute nothing else."
            )
    heads = known.get("num_attention_heads", told.num_attention_heads)
    if not isinstance(heads, int) or heads < 1:
        raise ConvertError(
            f"{path}: nothing in it tells the number of attention heads. Give it with --num_attention_heads (BERT 345m has 16)."
        )
    if seen.hidden_size % heads:
        raise ConvertError(
            f"{path}: {heads} attention heads do not divide the hidden size {seen.hidden_size}."
        )
    size = seen.hidden_size // heads
    if known.get("kv_channels", size) not in (None, size):
        raise ConvertError(f"{path}: args.kv_channels is {known['kv_channels']!r}; possible is only {size}.")
    for name in ("num_layers", "hidden_size", "ffn_hidden_size", "max_position_embeddings"):
        if known.get(name) not in (None, getattr(seen, name)):
            raise ConvertError(
                f"{path}: args.{name} is {known[name]!r}, but the tensors have {getattr(seen, name)}. The files do not belong "
                f"together, or some are missing."
            )
    try:
        return ModelConfig(
            architecture=seen.architecture,
            num_layers=seen.num_layers,
            hidden_size=seen.hidden_size,
            num_attention_heads=heads,
            ffn_hidden_size=seen.ffn_hidden_size,
            max_position_embeddings=seen.max_position_embeddings,
            vocab_size=vocab_size,
            hidden_dropout=known.get("hidden_dropout", 0.1),
            attention_dropout=known.get("attention_dropout", 0.1),
            layernorm_epsilon=known.get("norm_epsilon", known.get("layernorm_epsilon", 1e-5)),
            init_method_std=known.get("init_method_std", 0.02),
            activation=_activation(path, known, seen.architecture, told),
            order_head=seen.order_head or seen.architecture == "gpt",
        )
    except (ConfigurationError, TypeError) as error:
        raise ConvertError(f"{path}: its args describe no model of ours: {error}") from error


def _activation(path: Path, known: dict[str, Any], architecture: Literal["bert", "gpt"], told: Told) -> str:
    """The fused kernel is the tanh form and works in the MLP alone; openai_gelu replaces the exact one in MLP and head."""
    if not known:
        if told.activation is None:
            usual = "megatron" if architecture == "bert" else "gelu_tanh"
            raise ConvertError(
                f"{path}: nothing in it tells the activation, and with a wrong one the model would be a little wrong. Give it "
                f"with --activation: {usual} for the fused kernel of v1.1 and on, gelu for v1.0 and for --no-bias-gelu-fusion."
            )
        return told.activation
    if known.get("openai_gelu"):
        return "gelu_tanh"
    # Version 1.0 has no fused kernel and computes the exact form.
    if known.get("bias_gelu_fusion", False):
        return "megatron" if architecture == "bert" else "gelu_tanh"
    return "gelu"


def arguments_of(
    model: ModelConfig,
    *,
    vocabulary_rows: int,
    tensor_parallel: int,
    pipeline_parallel: int,
    virtual_pipeline: int,
    precision: str,
    step: int,
    samples: int,
    sequence_length: int,
    tokenizer_type: str,
) -> Namespace:
    """Return the arguments that Megatron-LM reads from a checkpoint (`--use-checkpoint-args`) or compares with its own."""
    per_chunk = model.num_layers // (pipeline_parallel * virtual_pipeline)
    return Namespace(
        **arguments_of_model(
            model,
            vocabulary_rows=vocabulary_rows,
            sequence_length=sequence_length,
            precision=precision,
            step=step,
            samples=samples,
            tokenizer_type=tokenizer_type,
        ),
        make_vocab_size_divisible_by=128,
        layernorm_epsilon=model.layernorm_epsilon,
        bias_gelu_fusion=_is_fused(model),
        openai_gelu=model.activation_name == "gelu_tanh" and model.architecture == "bert",
        onnx_safe=None,
        bert_binary_head=model.order_head,
        tensor_model_parallel_size=tensor_parallel,
        model_parallel_size=tensor_parallel,
        pipeline_model_parallel_size=pipeline_parallel,
        virtual_pipeline_model_parallel_size=virtual_pipeline if virtual_pipeline > 1 else None,
        num_layers_per_virtual_pipeline_stage=per_chunk if virtual_pipeline > 1 else None,
    )


def _is_fused(model: ModelConfig) -> bool:
    return model.activation_name == ("megatron" if model.architecture == "bert" else "gelu_tanh")


def refuse_other_models(model: ModelConfig) -> None:
    """Raise `ConvertError` for a model that Megatron-LM does not compute."""
    if model.norm_order != "pre":
        raise ConvertError(
            "model.norm_order is post: Megatron-LM's layers have their norms before the sums, so it cannot hold this model."
        )
    if model.scale_attention_by_inverse_layer:
        raise ConvertError(
            "model.scale_attention_by_inverse_layer: Megatron-LM does not scale attention by layer, so it cannot hold this model."
        )
