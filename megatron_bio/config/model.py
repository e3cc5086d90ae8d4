"""The shape of a model and the published presets."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from megatron_bio.config.errors import ConfigurationError

VOCABULARY_MULTIPLE = 128
"""The stored vocabulary is padded to this multiple, never to one of the layout, so shapes do not depend on it."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The mathematics of the model: architecture and sizes."""

    preset: str | None = None
    """Published shape whose values stand where nothing else is given: biomegatron-345m, biomegatron-800m,
    biomegatron-1.2b, biomedlm-2.7b, bert-110m, gpt-124m or gpt-355m."""
    architecture: Literal["bert", "gpt"] = "bert"
    """bert: encoder with masked-LM and sentence-order heads; gpt: causal decoder as GPT-2."""
    num_layers: int = 12
    """Transformer layers."""
    hidden_size: int = 768
    """Width of the residual stream."""
    num_attention_heads: int = 12
    """Attention heads; must divide hidden_size, and tensor_parallel must divide it."""
    ffn_hidden_size: int | None = None
    """Width inside the MLP; 4 x hidden_size when not given."""
    max_position_embeddings: int = 512
    """Longest sequence, in tokens, that the learned positions reach."""
    vocab_size: int | None = None
    """Tokens in the vocabulary, without padding; taken from the tokenizer when not given."""
    hidden_dropout: float = 0.1
    """Dropout after the embeddings and after each attention and MLP block."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities; above 0 attention runs the explicit softmax path, which is slower."""
    layernorm_epsilon: float = 1e-5
    """Added to the variance in every layer norm."""
    init_method_std: float = 0.02
    """Standard deviation of the initial weights; with norm_order pre, output layers use std / sqrt(2 num_layers)."""
    activation: Literal["gelu", "gelu_tanh", "megatron"] | None = None
    """gelu is exact (erf) and the default of bert; gelu_tanh is GPT-2's approximation and the default of gpt. megatron is what
    Megatron-LM's BERT computes: gelu_tanh in the MLP, gelu in the masked-LM head (bert only)."""
    norm_order: Literal["pre", "post"] = "pre"
    """Where the layer norms are. pre: before attention and MLP, and one at the end (BioMegatron, GPT-2); post: after each
    residual sum and after the embeddings, as in the first BERT and those that continue it (BioBERT, PubMedBERT, SciBERT; bert
    only)."""
    order_head: bool = True
    """bert: build the pooler and the sentence-order classifier. Without them data.sentence_order must be none."""
    scale_attention_by_inverse_layer: bool = False
    """gpt: layer i, counted from 1, divides its attention scores by i too, as BioMedLM does."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot form a model."""
        if self.preset is not None and self.preset not in PRESETS:
            raise ConfigurationError(
                f"model.preset: expected one of {', '.join(PRESETS)}; found {self.preset!r}."
            )
        for name in ("num_layers", "hidden_size", "num_attention_heads", "max_position_embeddings"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"model.{name}: expected at least 1, found {getattr(self, name)}.")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigurationError(
                f"model.num_attention_heads: {self.num_attention_heads} heads do not divide "
                f"model.hidden_size {self.hidden_size}; choose a number of heads that does."
            )
        for name in ("ffn_hidden_size", "vocab_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"model.{name}: expected at least 1, found {value}.")
        for name in ("layernorm_epsilon", "init_method_std"):
            if not getattr(self, name) > 0.0:  # so written that NaN is refused too
                raise ConfigurationError(f"model.{name}: expected more than 0, found {getattr(self, name)}.")
        for name in ("hidden_dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"model.{name}: expected 0 <= p < 1, found {getattr(self, name)}.")
        self._check_variants()

    def _check_variants(self) -> None:
        """Refuse what the architecture does not have."""
        other = "gpt" if self.architecture == "bert" else "bert"
        chosen = {
            "norm_order": self.norm_order == "post" and "bert",
            "activation": self.activation == "megatron" and "bert",
            "order_head": not self.order_head and "bert",
            "scale_attention_by_inverse_layer": self.scale_attention_by_inverse_layer and "gpt",
        }
        for name, of in chosen.items():
            if of == other:
                raise ConfigurationError(
                    f"model.{name}: found {getattr(self, name)} with model.architecture {self.architecture}, expected it "
                    f"with {of} only. Leave model.{name} out or choose the other architecture."
                )

    @property
    def ffn_size(self) -> int:
        """Width inside the MLP."""
        return self.ffn_hidden_size or 4 * self.hidden_size

    @property
    def activation_name(self) -> str:
        """The activation in force."""
        return self.activation or ("gelu" if self.architecture == "bert" else "gelu_tanh")

    @property
    def mlp_activation(self) -> Literal["gelu", "gelu_tanh"]:
        """The activation inside the MLP."""
        return "gelu" if self.activation_name == "gelu" else "gelu_tanh"

    @property
    def head_activation(self) -> Literal["gelu", "gelu_tanh"]:
        """The activation in bert's masked-LM head."""
        return "gelu_tanh" if self.activation_name == "gelu_tanh" else "gelu"


def stored_model_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model options of a checkpoint in the words of today.

    Before there was `norm_order`, the masked-LM head was always exact, and gelu_tanh of bert meant what megatron means now.
    """
    before = "norm_order" not in values and values.get("architecture") == "bert"
    renamed = {"activation": "megatron"} if before and values.get("activation") == "gelu_tanh" else {}
    return {**values, **renamed}


def padded_vocab_size(vocab_size: int) -> int:
    """Return the rows of the stored embedding: `vocab_size` rounded up to `VOCABULARY_MULTIPLE`."""
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def _bert(layers: int, hidden: int, heads: int) -> MappingProxyType[str, Any]:
    sizes = {"num_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    return MappingProxyType({"architecture": "bert", "max_position_embeddings": 512} | sizes)


def _gpt(layers: int, hidden: int, heads: int) -> MappingProxyType[str, Any]:
    sizes = {"num_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    return MappingProxyType({"architecture": "gpt", "max_position_embeddings": 1024} | sizes)


PRESETS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        "biomegatron-345m": _bert(24, 1024, 16),
        "biomegatron-800m": _bert(36, 1280, 20),
        "biomegatron-1.2b": _bert(24, 2048, 16),
        "biomedlm-2.7b": MappingProxyType(_gpt(32, 2560, 20) | {"vocab_size": 28_896}),
        "bert-110m": _bert(12, 768, 12),
        "gpt-124m": _gpt(12, 768, 12),
        "gpt-355m": _gpt(24, 1024, 16),
    }
)
"""Published shapes. Sources: BioMegatron (Shin et al., EMNLP 2020), BioMedLM (Bolton et al., arXiv 2403.18421),
BERT (Devlin et al., 2019), GPT-2 (Radford et al., 2019)."""
