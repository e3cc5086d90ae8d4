"""config.json and generation_config.json, from the model's shape and the tokenizer's special tokens."""

from typing import Any

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.tokens.tokenizer import Tokenizer

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "megatron": "gelu_new"}


def is_exact(config: ModelConfig) -> bool:
    """Whether transformers computes the same function.

    Its BERTs have one activation for the MLP and the masked-LM head.
    """
    return config.mlp_activation == config.head_activation


def refuse_silent_approximation(config: ModelConfig, approximate: bool) -> None:
    """Refuse a model that transformers computes differently, unless that was asked for."""
    if not is_exact(config) and not approximate:
        raise ConvertError(
            f"model.activation is {config.activation_name}: the checkpoint computes the tanh approximation of GELU in the MLP and "
            f"exact GELU in the masked-LM head, but the BERTs of transformers have one activation for both. Give --approximate to "
            f"export the model with slightly different logits and see the difference."
        )


def hugging_face_config(config: ModelConfig, tokenizer: Tokenizer, precision: str) -> dict[str, Any]:
    """Return config.json."""
    specific = (
        _bert_config(config, tokenizer) if config.architecture == "bert" else _gpt2_config(config, tokenizer)
    )
    return specific | {
        "vocab_size": config.vocab_size,
        "initializer_range": config.init_method_std,
        "tie_word_embeddings": True,
        "dtype": DTYPES[precision],
    }


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return generation_config.json for a GPT, which has no token for padding of its own."""
    return {"bos_token_id": tokenizer.eod, "eos_token_id": tokenizer.eod, "pad_token_id": tokenizer.eod}


def _bert_config(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "architectures": ["MegatronBertForPreTraining"],
        "model_type": "megatron-bert",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.ffn_size,
        "hidden_act": _ACTIVATIONS[config.activation_name],
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": 2,
        "layer_norm_eps": config.layernorm_epsilon,
        "pad_token_id": tokenizer.pad,
    }


def _gpt2_config(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": config.hidden_size,
        "n_layer": config.num_layers,
        "n_head": config.num_attention_heads,
        "n_inner": config.ffn_size,
        "activation_function": _ACTIVATIONS[config.activation_name],
        "resid_pdrop": config.hidden_dropout,
        "embd_pdrop": config.hidden_dropout,
        "attn_pdrop": config.attention_dropout,
        "n_positions": config.max_position_embeddings,
        "layer_norm_epsilon": config.layernorm_epsilon,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": config.scale_attention_by_inverse_layer,
        "reorder_and_upcast_attn": False,
        "bos_token_id": tokenizer.eod,
        "eos_token_id": tokenizer.eod,
    }
