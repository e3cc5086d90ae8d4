"""model_config.yaml of a .nemo archive: the shape of the model, and which of its settings ours can be.

Source: NeMo 1.0 to 1.23, megatron_bert_model.py and megatron_gpt_model.py (`model_provider_func`), and
modules/common/megatron (mlp.py, attention.py, language_model.py), which say what each key defaults to.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import yaml

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError

CONFIG = "model_config.yaml"
LARGEST_CONFIG = 1 << 18
_LARGEST_NUMBER = 1 << 24
_REFERENCE = re.compile(r"\$\{(?:\.|model\.)?(\w+)\}")
_ARCHITECTURES: dict[str, Literal["bert", "gpt"]] = {"MegatronBertModel": "bert", "MegatronGPTModel": "gpt"}
_ONLY: dict[str, tuple[Any, ...]] = {
    "mcore_bert": (False,),
    "mcore_gpt": (False,),
    "transformer_engine": (False,),
    "normalization": ("layernorm",),
    "position_embedding_type": ("learned_absolute",),
    "transformer_block_type": ("pre_ln",),
    "activation": ("gelu",),
    "bias": (True,),
    "headscale": (False,),
    "share_embeddings_and_output_weights": (True,),
    "virtual_pipeline_model_parallel_size": (1,),
}
"""Keys that change the mathematics or the names, with the values that our models have. A key that is missing has them."""


class NemoConfig:
    """The settings of an archive, with references between them resolved."""

    def __init__(self, where: str, content: bytes) -> None:
        self.where = where
        self._settings = _parsed(where, content)
        for key, values in _ONLY.items():
            if (value := self.get(key)) is not None and value not in values:
                more = (
                    " Models of Megatron Core in .nemo archives are not read; unpack the archive and convert the checkpoint in it "
                    "with --from megatron_core."
                    if key.startswith("mcore")
                    else ""
                )
                raise self.wrong(key, " or ".join(map(str, values)), more)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value; the default where it is missing or null."""
        value = self._settings.get(key)
        if isinstance(value, str) and (reference := _REFERENCE.fullmatch(value)):
            value = self._settings.get(reference[1])
        return default if value is None else value

    def wrong(self, key: str, expected: str, more: str = "") -> ConvertError:
        """Return the error for a value that our models cannot have."""
        return ConvertError(
            f"{self.where}: {key}: expected {expected}, found {_shown(self.get(key))}; our models cannot compute that.{more}"
        )

    def size(self, key: str, default: int | None = None) -> int:
        """Return a positive whole number."""
        value = self.get(key, default)
        if type(value) is not int or not 0 < value < _LARGEST_NUMBER:
            raise self.wrong(key, "a positive whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a number; YAML takes 1e-5 for text."""
        value = self.get(key, default)
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            raise self.wrong(key, "a number") from None

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, "true or false")
        return value

    def section(self, key: str) -> Mapping[str, Any]:
        """Return a group of settings, empty if it is missing."""
        value = self.get(key)
        return value if isinstance(value, dict) else {}

    @property
    def legacy_order(self) -> bool:
        """Whether rows of queries, keys and values are ordered [3, heads, D] within each tensor-parallel part."""
        return self.flag("megatron_legacy", False)

    def model(self, vocab_size: int, order_head: bool) -> ModelConfig:
        """Return the shape of the model; raises `ConvertError` for one that ours cannot have."""
        hidden, heads = self.size("hidden_size"), self.size("num_attention_heads")
        if self.get("kv_channels", hidden // heads) != hidden // heads:
            raise self.wrong("kv_channels", f"hidden_size / num_attention_heads = {hidden // heads}")
        if self.get("num_query_groups", heads) != heads:
            raise self.wrong("num_query_groups", f"num_attention_heads = {heads}")
        architecture = self._architecture()
        try:
            return ModelConfig(
                architecture=architecture,
                num_layers=self.size("num_layers"),
                hidden_size=hidden,
                num_attention_heads=heads,
                ffn_hidden_size=self.size("ffn_hidden_size", 4 * hidden),
                max_position_embeddings=self.size("max_position_embeddings"),
                vocab_size=vocab_size,
                hidden_dropout=self.number("hidden_dropout", 0.1),
                attention_dropout=self.number("attention_dropout", 0.1),
                layernorm_epsilon=self.number("layernorm_epsilon", 1e-5),
                init_method_std=self.number("init_method_std", 0.02),
                activation=self._activation(architecture),
                order_head=order_head or architecture == "gpt",
            )
        except ConfigurationError as error:
            raise ConvertError(f"{self.where}: it describes no model of ours: {error}") from error

    def _architecture(self) -> Literal["bert", "gpt"]:
        target = self.get("target", "MegatronBertModel" if "bert_binary_head" in self._settings else "")
        name = target.rsplit(".", 1)[-1] if isinstance(target, str) else ""
        if name not in _ARCHITECTURES:
            raise ConvertError(
                f"{self.where}: expected an archive of {' or '.join(_ARCHITECTURES)}, found target {_shown(target)}. A model "
                f"that was fine-tuned with NeMo has another head and no masked-LM head; convert the archive that it was made from."
            )
        return _ARCHITECTURES[name]

    def _activation(self, architecture: Literal["bert", "gpt"]) -> Literal["gelu", "gelu_tanh", "megatron"]:
        """The fused kernel computes GELU by tanh, torch's function exactly; the masked-LM head is always exact."""
        fused = self.flag("bias_gelu_fusion", True)
        if architecture == "gpt":
            fused = self.flag("bias_activation_fusion", fused)
        if fused:
            return "megatron" if architecture == "bert" else "gelu_tanh"
        if self.flag("openai_gelu", False):
            raise self.wrong(
                "openai_gelu", "false without bias_gelu_fusion (versions of NeMo compute it differently)"
            )
        return "gelu"


def _parsed(where: str, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode()
        if "<<" in text:
            raise ConvertError(f"{where}: expected settings as NeMo writes them, found a merge (<<).")
        settings = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConvertError):
            raise
        raise ConvertError(
            f"{where}: expected YAML; {str(error)[:200]}. Is the download complete?"
        ) from error
    if not isinstance(settings, dict):
        raise ConvertError(f"{where}: expected settings by name, found {type(settings).__name__}.")
    return settings


def _shown(value: Any) -> str:
    return repr(value)[:100] if isinstance(value, str | int | float) else type(value).__name__
