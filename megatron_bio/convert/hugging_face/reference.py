"""What transformers itself computes of a folder, layer by layer, and how it tokenizes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import require_shapes
from megatron_bio.convert.hugging_face.configuration import class_name, model_type
from megatron_bio.convert.hugging_face.files import read_json, stored_tensors
from megatron_bio.convert.hugging_face.names import NamedTensors
from megatron_bio.convert.hugging_face.open import CONFIG
from megatron_bio.convert.probe import (
    EMBEDDINGS,
    FINAL_LAYERNORM,
    LOGITS,
    ORDER_LOGITS,
    Probe,
    Trace,
    layer_name,
)
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.convert.stored_values import RoundedTensors
from megatron_bio.convert.streamed_module import (
    captured_outputs,
    parameters_on_meta,
    streamed_parameters,
)
from megatron_bio.tokens.tokenizer import Tokenizer

LIBRARY, EXTRA = "transformers", "hf"

_TEXTS = (
    "Aspirin (0.5 mg/kg) inhibits COX-2 in vitro.",
    "Naïve β-cells of Müller's rats: 10⁶ U/mL, p<0.05",
    "  IL-2Rα,\tTNF-α and CD4+ T cells\n",
)
"""Capitals, accents, Greek, punctuation and white space: where tokenizers differ."""


@torch.no_grad()
def trace(checkpoint: Checkpoint, probe: Probe, dtype: torch.dtype, stored: torch.dtype) -> Trace:
    """Compute in `dtype` with the weights rounded to `stored`; raises ImportError without transformers.

    Raises `ConvertError` if the files and the model of transformers do not have the same tensors.
    """
    import transformers

    path = checkpoint.path
    content = read_json(path / CONFIG)
    prefix = "transformer" if model_type(content) == "gpt2" else "bert"
    tensors = NamedTensors(stored_tensors(path), prefix, str(path))
    headless = bool(checkpoint.facts.get("missing"))
    model = _empty_model(transformers, path, checkpoint.model, headless)
    above = f"{prefix}." if headless else ""
    expected = {above + name: tuple(value.shape) for name, value in model.named_parameters()}
    found = {
        name: tuple(value.shape)
        for name, value in tensors.described().items()
        if name not in checkpoint.facts.get("left_out", ()) and not (headless and name not in expected)
    }
    require_shapes(path, expected, found)
    weights = RoundedTensors(RoundedTensors(tensors, stored), dtype)
    places = _places(checkpoint.model, "" if headless else f"{prefix}.")
    inputs = {"attention_mask": probe.segment_ids, "position_ids": probe.position_ids}
    if prefix == "bert":
        inputs["token_type_ids"] = probe.tokentype_ids
    with (
        streamed_parameters(model, lambda name: weights.read(above + name)),
        captured_outputs(model, places, lambda hidden: hidden[probe.real]) as trace,
    ):
        output = model(probe.tokens, **inputs)
    return trace | _logits(output, probe, checkpoint.model)


def _logits(output: Any, probe: Probe, model: ModelConfig) -> Trace:
    found: Trace = {}
    logits = getattr(output, "prediction_logits", None)
    if logits is None:
        logits = getattr(output, "logits", None)
    if logits is not None:
        found[LOGITS] = logits[probe.real][:, : model.vocab_size]
    order = getattr(output, "seq_relationship_logits", None)
    if order is not None:
        found[ORDER_LOGITS] = order
    return found


def _empty_model(transformers: ModuleType, path: Path, model: ModelConfig, headless: bool) -> nn.Module:
    """Build the class that has the parts that the files have, without values."""
    name = class_name(model)
    with quiet(transformers):
        # The plain form: transformers 4 leaves scale_attn_by_inverse_layer_idx out of the others.
        config = transformers.AutoConfig.from_pretrained(
            path, local_files_only=True, attn_implementation="eager"
        )
        with parameters_on_meta():
            if headless:
                bare = name.replace("ForMaskedLM", "Model").replace("ForPreTraining", "Model")
                built = getattr(transformers, bare)(config, add_pooling_layer=False)
            else:
                built = getattr(transformers, name)(config)
    built.tie_weights()
    result: nn.Module = built.eval()
    return result


def _places(model: ModelConfig, prefix: str) -> dict[str, str]:
    """Return the submodules of transformers whose outputs are hidden states of ours."""
    gpt = model.architecture == "gpt"
    layers = "h" if gpt else "encoder.layer"
    places = {EMBEDDINGS: "drop" if gpt else "embeddings"}
    places |= {layer_name(layer): f"{layers}.{layer}" for layer in range(model.num_layers)}
    if model.norm_order == "pre":
        places[FINAL_LAYERNORM] = "ln_f" if gpt else "encoder.ln"
    return {name: prefix + place for name, place in places.items()}


def require_same_tokens(folder: Path, tokenizer: Tokenizer) -> None:
    """Raise `ConvertError` if transformers makes other tokens with the folder; ImportError without transformers.

    A lone vocab.txt does not say whether capitals count, and transformers would lower-case in any case: nothing to compare.
    """
    import transformers

    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return
    with quiet(transformers):
        theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text, ids in zip(_TEXTS, tokenizer.encode_batch(_TEXTS), strict=True):
        found = theirs(text, add_special_tokens=False)["input_ids"]
        if found != ids.tolist():
            raise ConvertError(
                f"{tokenizer.name}: transformers does not tokenize as the run did: {text!r} became "
                f"{theirs.convert_ids_to_tokens(found)}, expected {_tokens(tokenizer, ids.tolist())}. "
                f"Nothing was written. Compare tokenizer_config.json with tokenizer.json: do_lower_case, strip_accents."
            )


def _tokens(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str | None]:
    return [tokenizer.id_to_token(number) for number in ids]


@contextmanager
def quiet(transformers: ModuleType) -> Iterator[None]:
    """Hide the progress bar and report of loading; what they say is checked."""
    logging = transformers.utils.logging
    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()
