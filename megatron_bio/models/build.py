"""From a configuration to a model."""

import torch

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.config.stages import Stage, whole_model
from megatron_bio.models.bert import Bert
from megatron_bio.models.block import BlockSizes
from megatron_bio.models.gpt import Gpt
from megatron_bio.models.recompute import Recompute
from megatron_bio.parallel.layers import TensorParallel


def build_model(
    config: ModelConfig,
    tensor_parallel: TensorParallel,
    stage: Stage | None = None,
    recompute: Recompute | None = None,
) -> Bert | Gpt:
    """Build the model, or one stage of it, on the default device with values still to be set (`initialize` or a checkpoint)."""
    if config.vocab_size is None:
        raise ConfigurationError(
            "model.vocab_size: it comes from the tokenizer or from the configuration; neither gave it."
        )
    sizes = BlockSizes(
        hidden_size=config.hidden_size,
        num_heads=config.num_attention_heads,
        ffn_size=config.ffn_size,
        num_layers=config.num_layers,
        activation=config.mlp_activation,
        hidden_dropout=config.hidden_dropout,
        attention_dropout=config.attention_dropout,
        epsilon=config.layernorm_epsilon,
        init_std=config.init_method_std,
        norm_order=config.norm_order,
        scale_by_inverse_layer=config.scale_attention_by_inverse_layer,
    )
    common = (
        sizes,
        config.vocab_size,
        padded_vocab_size(config.vocab_size),
        config.max_position_embeddings,
        tensor_parallel,
        stage or whole_model(config.num_layers),
        recompute or Recompute(),
    )
    if config.architecture == "gpt":
        return Gpt(*common)
    return Bert(*common, head_activation=config.head_activation, order_head=config.order_head)


def parameter_count(model: torch.nn.Module) -> int:
    """Count the elements of all parameters, over all tp ranks: tied tables once, heads and padded vocabulary rows included."""
    return sum(parameter.numel() for parameter in model.parameters())
