"""The arguments of Megatron-LM's training that a checkpoint keeps in common.pt, and the shape of our model.

Sizes are those of the tensors; the arguments must agree with them and tell what tensors do not: heads, activation, epsilon.
Source: Megatron-LM, `megatron/training/arguments.py` (`core_transformer_config_from_args`) and `checkpointing.py`.
"""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_arguments import arguments_of_model
from megatron_bio.convert.megatron_core.table import MASKED_LM_HEAD, ORDER_HEAD, POSITIONS, STACKS, WORDS

VERSION = 3.0
"""checkpoint_version: rows of queries, keys and values ordered as ours."""

_REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "position_embedding_type": ("learned_absolute",),
    "add_position_embedding": (True,),
    "use_rotary_position_embeddings": (False,),
    "normalization": ("LayerNorm",),
    "apply_layernorm_1p": (False,),
    "apply_residual_connection_post_layernorm": (False,),
    "add_bias_linear": (True,),
    "disable_bias_linear": (False,),
    "swiglu": (False,),
    "squared_relu": (False,),
    "quick_geglu": (False,),
    "untie_embeddings_and_output_weights": (False,),
    "group_query_attention": (False,),
    "multi_latent_attention": (False,),
    "qk_layernorm": (False,),
    "qk_l2_norm": (False,),
    "attention_output_gate": (False,),
    "softmax_type": ("vanilla",),
    "window_size": (None,),
    "num_experts": (None,),
    "mtp_num_layers": (None, 0),
    "heterogeneous_layers_config_path": (None,),
    "hybrid_override_pattern": (None,),
    "hybrid_layer_pattern": (None,),
    "is_hybrid_model": (False,),
    "spec": (None,),
}
"""Options with the values that our models have; None is taken for the option that was not given."""


def model_of(
    path: Path, arguments: Mapping[str, Any], found: Mapping[str, Tensor], vocab_size: int
) -> ModelConfig:
    """Return the model from its tensors, under names without prefix, and the arguments that are there.

    Raises `ConvertError` for options that our models do not have, and for sizes that do not agree or are not told.
    """
    _require_options(path, arguments)
    bert = MASKED_LM_HEAD in found
    architecture = "bert" if bert else "gpt"
    sizes = _sizes(path, found, STACKS[architecture])
    for name, size in sizes.items():
        stated = arguments.get(name)
        if stated is not None and stated != size:
            raise ConvertError(f"{path}: {name} is {stated} in common.pt, but {size} in the tensors.")
    heads = _heads(path, arguments, sizes["hidden_size"])
    tanh = bool(arguments.get("bias_gelu_fusion", True))
    activation = {(True, True): "megatron", (False, True): "gelu_tanh"}.get((bert, tanh), "gelu")
    known = {
        ours: arguments[theirs]
        for ours, theirs in (
            ("hidden_dropout", "hidden_dropout"),
            ("attention_dropout", "attention_dropout"),
            ("init_method_std", "init_method_std"),
            ("layernorm_epsilon", "norm_epsilon"),
            ("layernorm_epsilon", "layernorm_epsilon"),
        )
        if isinstance(arguments.get(theirs), float | int)
    }
    options: dict[str, Any] = {
        **sizes,
        **known,
        "architecture": architecture,
        "num_attention_heads": heads,
        "vocab_size": vocab_size,
        "activation": activation,
        **({"order_head": ORDER_HEAD in found} if bert else {}),
    }
    try:
        return ModelConfig(**options)
    except ConfigurationError as error:
        raise ConvertError(f"{path}: the arguments in common.pt cannot be of a model: {error}") from error


def arguments_of(
    model: ModelConfig,
    *,
    step: int,
    samples: int,
    vocabulary_rows: int,
    sequence_length: int,
    precision: str,
    vocabulary_multiple: int,
    tokenizer_type: str,
) -> Namespace:
    """Return the arguments with which Megatron-LM builds the model."""
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
        rotary_base=10000,
        rotary_interleaved=False,
        apply_query_key_layer_scaling=False,
        add_qkv_bias=False,
        squared_relu=False,
        openai_gelu=False,
        bias_gelu_fusion=model.mlp_activation == "gelu_tanh",
        bert_binary_head=model.architecture == "bert" and model.order_head,
        num_experts=None,
        make_vocab_size_divisible_by=vocabulary_multiple,
        tensor_model_parallel_size=1,
        pipeline_model_parallel_size=1,
        virtual_pipeline_model_parallel_size=None,
        use_distributed_optimizer=False,
        transformer_impl="local",
        phase_transition_iterations=None,
        ckpt_format="torch_dist",
        skipped_train_samples=0,
    )


def require_model(model: ModelConfig, approximate: bool) -> None:
    """Raise `ConvertError` for a model that Megatron Core computes differently."""
    if model.norm_order == "post":
        raise ConvertError(
            "model.norm_order is post: Megatron Core's models have their layer norms before attention and MLP. Convert it "
            "to Hugging Face."
        )
    if model.scale_attention_by_inverse_layer:
        raise ConvertError(
            "model.scale_attention_by_inverse_layer is true: Megatron Core has no such scale that is left in the scores. "
            "Convert it to Hugging Face."
        )
    if model.architecture == "bert" and model.activation_name == "gelu_tanh" and not approximate:
        raise ConvertError(
            "model.activation is gelu_tanh: Megatron Core computes exact GELU in the masked-LM head of bert. Give "
            "--approximate to write the model with slightly different logits and see the difference."
        )


def _require_options(path: Path, arguments: Mapping[str, Any]) -> None:
    for name, accepted in _REQUIRED.items():
        value = arguments.get(name)
        if value is not None and value not in accepted:
            raise ConvertError(
                f"{path}: {name} is {value!r} in common.pt, expected {' or '.join(map(repr, accepted))}. Our models do not have "
                f"this option, so the checkpoint cannot be converted."
            )


def _sizes(path: Path, found: Mapping[str, Tensor], stack: str) -> dict[str, int]:
    needed = (WORDS, POSITIONS, f"{stack}.layers.0.mlp.linear_fc1.weight")
    missing = [name for name in needed if name not in found or found[name].dim() != 2]
    if missing:
        raise ConvertError(
            f"{path}: expected the tensors of a BERT or GPT with learned positions; {', '.join(missing)} is missing or no "
            f"matrix. Is it the checkpoint of such a model?"
        )
    layers = 0
    while f"{stack}.layers.{layers}.mlp.linear_fc1.weight" in found:
        layers += 1
    return {
        "num_layers": layers,
        "hidden_size": found[WORDS].shape[1],
        "ffn_hidden_size": found[needed[2]].shape[0],
        "max_position_embeddings": found[POSITIONS].shape[0],
    }


def _heads(path: Path, arguments: Mapping[str, Any], hidden_size: int) -> int:
    heads = arguments.get("num_attention_heads")
    if type(heads) is not int or heads < 1:
        raise ConvertError(
            f"{path}: num_attention_heads is {heads!r} in the args of common.pt, and tensors do not tell it. Save common.pt with "
            f"torch.save({{'args': argparse.Namespace(num_attention_heads=…)}}) and the number of heads; further options, as "
            f"norm_epsilon and bias_gelu_fusion, are taken for Megatron-LM's defaults where they are not there."
        )
    width = arguments.get("kv_channels")
    if width is not None and width * heads != hidden_size:
        raise ConvertError(
            f"{path}: kv_channels is {width} in common.pt with {heads} heads, expected {hidden_size} / {heads}. Our models have "
            f"heads that fill hidden_size."
        )
    return heads
