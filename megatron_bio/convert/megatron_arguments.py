"""The arguments of Megatron-LM that say what a model is, in both of its formats: the `torch` one and Megatron Core's."""

from typing import Any

from megatron_bio.config.model import ModelConfig


def arguments_of_model(
    model: ModelConfig,
    *,
    vocabulary_rows: int,
    sequence_length: int,
    precision: str,
    step: int,
    samples: int,
    tokenizer_type: str,
) -> dict[str, Any]:
    """Return what both formats say alike, by the names of Megatron-LM's arguments.py."""
    return {
        "num_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "ffn_hidden_size": model.ffn_size,
        "num_attention_heads": model.num_attention_heads,
        "kv_channels": model.hidden_size // model.num_attention_heads,
        "group_query_attention": False,
        "num_query_groups": 1,
        "max_position_embeddings": model.max_position_embeddings,
        "seq_length": sequence_length,
        "padded_vocab_size": vocabulary_rows,
        "position_embedding_type": "learned_absolute",
        "add_position_embedding": True,
        "use_rotary_position_embeddings": False,
        "rotary_percent": 1.0,
        "normalization": "LayerNorm",
        "norm_epsilon": model.layernorm_epsilon,
        "apply_layernorm_1p": False,
        "apply_residual_connection_post_layernorm": False,
        "add_bias_linear": True,
        "swiglu": False,
        "untie_embeddings_and_output_weights": False,
        "init_method_std": model.init_method_std,
        "hidden_dropout": model.hidden_dropout,
        "attention_dropout": model.attention_dropout,
        "tokenizer_type": tokenizer_type,
        "fp16": precision == "fp16",
        "bf16": precision == "bf16",
        "data_parallel_random_init": False,
        "iteration": step,
        "consumed_train_samples": samples,
        "consumed_valid_samples": 0,
    }
