"""A checkpoint of any format as a folder that transformers loads, with its tokenizer and a card."""

import json
from pathlib import Path
from typing import Any

import torch

from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.hugging_face.configuration import (
    DTYPES,
    generation_config,
    hugging_face_config,
    refuse_silent_approximation,
)
from megatron_bio.convert.hugging_face.open import CONFIG
from megatron_bio.convert.hugging_face.tables import hugging_face_table
from megatron_bio.convert.model_card import model_card
from megatron_bio.convert.safetensors_files import write_safetensors
from megatron_bio.convert.sources import Checkpoint
from megatron_bio.convert.stored_values import RoundedTensors
from megatron_bio.convert.table import AsForeign
from megatron_bio.convert.tokenizer_files import longest_sequence, write_tokenizer
from megatron_bio.tokens.tokenizer import Tokenizer


def write_checkpoint(checkpoint: Checkpoint, folder: Path, options: ConvertOptions) -> None:
    """Write weights, config.json, tokenizer and README.md; raises `ConvertError` for a model that transformers lacks."""
    assert checkpoint.tokenizer is not None, "the conversion has found the tokenizer before it writes"
    refuse_silent_approximation(checkpoint.model, options.approximate)
    tokenizer = Tokenizer.load(checkpoint.tokenizer)
    dtype: torch.dtype = getattr(torch, DTYPES[options.precision])
    tensors = AsForeign(hugging_face_table(checkpoint.model), checkpoint.weights)
    write_safetensors(folder, RoundedTensors(tensors, dtype))
    _write_json(folder / CONFIG, hugging_face_config(checkpoint.model, tokenizer, options.precision))
    if checkpoint.model.architecture == "gpt":
        _write_json(folder / "generation_config.json", generation_config(tokenizer))
    write_tokenizer(checkpoint.tokenizer, folder, longest_sequence(checkpoint))
    card = model_card(checkpoint, options.output.resolve().name, options)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
