"""config.json and our model's configuration, both ways; what has no counterpart is refused by key and value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.tokens.tokenizer import Tokenizer

DTYPES = MappingProxyType({"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"})
_WRITTEN_ACTIVATIONS = MappingProxyType({"gelu": "gelu", "gelu_tanh": "gelu_new", "megatron": "gelu_new"})
_READ_ACTIVATIONS = MappingProxyType(
    {
        "gelu": "gelu",
        "gelu_python": "gelu",
        "gelu_new": "gelu_tanh",
        "gelu_fast": "gelu_tanh",
        "gelu_accurate": "gelu_tanh",
        "gelu_pytorch_tanh": "gelu_tanh",
    }
)
"""Those of transformers' activations.py that are one of our two functions, but for rounding."""


@dataclass(frozen=True)
class _Kind:
    """A model type of transformers: its keys for our fields with its defaults, and what it may not ask for."""

    architecture: str
    norm_order: str
    keys: Mapping[str, tuple[str, Any]]
    """Field of ours to key and to the value that transformers takes when the key is missing."""
    only: Mapping[str, Any]
    """Key to the one value that our model computes, which is also its default."""


_BERT_KEYS = {
    "vocab_size": ("vocab_size", 30_522),
    "num_layers": ("num_hidden_layers", 12),
    "hidden_size": ("hidden_size", 768),
    "num_attention_heads": ("num_attention_heads", 12),
    "ffn_hidden_size": ("intermediate_size", 3072),
    "max_position_embeddings": ("max_position_embeddings", 512),
    "hidden_dropout": ("hidden_dropout_prob", 0.1),
    "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    "layernorm_epsilon": ("layer_norm_eps", 1e-12),
    "init_method_std": ("initializer_range", 0.02),
    "activation": ("hidden_act", "gelu"),
}
_MEGATRON_BERT_KEYS = _BERT_KEYS | {
    "vocab_size": ("vocab_size", 29_056),
    "num_layers": ("num_hidden_layers", 24),
    "hidden_size": ("hidden_size", 1024),
    "num_attention_heads": ("num_attention_heads", 16),
    "ffn_hidden_size": ("intermediate_size", 4096),
}
_GPT2_KEYS = {
    "vocab_size": ("vocab_size", 50_257),
    "num_layers": ("n_layer", 12),
    "hidden_size": ("n_embd", 768),
    "num_attention_heads": ("n_head", 12),
    "ffn_hidden_size": ("n_inner", None),
    "max_position_embeddings": ("n_positions", 1024),
    "hidden_dropout": ("resid_pdrop", 0.1),
    "attention_dropout": ("attn_pdrop", 0.1),
    "layernorm_epsilon": ("layer_norm_epsilon", 1e-5),
    "init_method_std": ("initializer_range", 0.02),
    "activation": ("activation_function", "gelu_new"),
    "scale_attention_by_inverse_layer": ("scale_attn_by_inverse_layer_idx", False),
}
_BERT_ONLY = {
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "tie_word_embeddings": True,
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": {},
}
_GPT2_ONLY = {"scale_attn_weights": True, "tie_word_embeddings": True, "add_cross_attention": False}
_KINDS = MappingProxyType(
    {
        "megatron-bert": _Kind("bert", "pre", _MEGATRON_BERT_KEYS, _BERT_ONLY),
        "bert": _Kind("bert", "post", _BERT_KEYS, _BERT_ONLY),
        "gpt2": _Kind("gpt", "pre", _GPT2_KEYS, _GPT2_ONLY),
    }
)


def model_type(content: Mapping[str, Any]) -> str:
    """Return config.json's model type; old files do not name it, and are then told by their keys."""
    if "model_type" in content:
        return str(content["model_type"])
    return "gpt2" if "n_embd" in content else "bert"


def our_config(path: Path, content: Mapping[str, Any], order_head: bool) -> ModelConfig:
    """Return our configuration of what `path`, a config.json, describes; raises `ConvertError` for what we do not compute."""
    name = model_type(content)
    if name not in _KINDS:
        raise ConvertError(
            f"{path}: model_type is {name!r}; possible are {', '.join(_KINDS)}, which this library can compute."
        )
    kind = _KINDS[name]
    for key, possible in kind.only.items():
        if content.get(key, possible) != possible:
            raise ConvertError(
                f"{path}: {key} is {content[key]!r}; possible is only {possible!r}, for our model computes nothing else."
            )
    values = {field: content.get(key, default) for field, (key, default) in kind.keys.items()}
    activation = values["activation"]
    if activation not in _READ_ACTIVATIONS:
        key = kind.keys["activation"][0]
        raise ConvertError(
            f"{path}: {key} is {activation!r}; possible are {', '.join(_READ_ACTIVATIONS)}, the two forms of GELU."
        )
    values["activation"] = _READ_ACTIVATIONS[activation]
    try:
        return ModelConfig(
            architecture=kind.architecture, norm_order=kind.norm_order, order_head=order_head, **values
        )
    except (ConfigurationError, TypeError) as error:
        raise ConvertError(f"{path}: it does not describe a model that is possible: {error}") from error


def notes(content: Mapping[str, Any]) -> list[str]:
    """Return what of config.json is not carried, for people."""
    embedding, residual = content.get("embd_pdrop", 0.1), content.get("resid_pdrop", 0.1)
    if model_type(content) == "gpt2" and embedding != residual:
        return [f"embd_pdrop {embedding} becomes {residual}, for our model has one dropout for both"]
    return []


def is_exact(config: ModelConfig) -> bool:
    """Whether transformers computes the same function.

    Its BERTs have one activation for the MLP and the masked-LM head, Megatron's two.
    """
    return config.activation_name != "megatron"


def refuse_silent_approximation(config: ModelConfig, approximate: bool) -> None:
    """Refuse a model that transformers computes differently, unless that was asked for."""
    if not is_exact(config) and not approximate:
        raise ConvertError(
            "model.activation is megatron: the checkpoint computes the tanh form of GELU in the MLP and exact GELU in the "
            "masked-LM head, but the BERTs of transformers have one activation for both. Give --approximate to export "
            "the model with slightly different logits and see the difference."
        )


def hugging_face_config(config: ModelConfig, tokenizer: Tokenizer, precision: str) -> dict[str, Any]:
    """Return config.json."""
    name = _model_type_of(config)
    kind = _KINDS[name]
    values = {key: getattr(config, field) for field, (key, _) in kind.keys.items()}
    values[kind.keys["ffn_hidden_size"][0]] = config.ffn_size
    values[kind.keys["activation"][0]] = _WRITTEN_ACTIVATIONS[config.activation_name]
    if config.architecture == "gpt":
        specific = {
            "embd_pdrop": config.hidden_dropout,
            "reorder_and_upcast_attn": False,
            "bos_token_id": tokenizer.eod,
            "eos_token_id": tokenizer.eod,
        }
    else:
        specific = {"pad_token_id": tokenizer.pad}
    described = {"architectures": [class_name(config)], "model_type": name}
    # What is false or empty here is so by default.
    required = {key: value for key, value in kind.only.items() if value}
    return described | values | required | specific | {"dtype": DTYPES[precision]}


def class_name(config: ModelConfig) -> str:
    """Return the class of transformers that has all parts of the model and no other ones."""
    if config.architecture == "gpt":
        return "GPT2LMHeadModel"
    heads = "ForPreTraining" if config.order_head else "ForMaskedLM"
    return ("Bert" if config.norm_order == "post" else "MegatronBert") + heads


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return generation_config.json for a GPT, which has no token for padding of its own."""
    return {"bos_token_id": tokenizer.eod, "eos_token_id": tokenizer.eod, "pad_token_id": tokenizer.eod}


def _model_type_of(config: ModelConfig) -> str:
    if config.architecture == "gpt":
        return "gpt2"
    return "bert" if config.norm_order == "post" else "megatron-bert"
