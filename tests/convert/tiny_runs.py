"""Checkpoints of tiny models whose every parameter is random, with the tokenizers that they were "trained" with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import pre_tokenizers

from megatron_bio.checkpoint.save import save_checkpoint
from megatron_bio.config.data import DataConfig
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import TrainingConfig
from megatron_bio.convert.sources import TensorSource
from megatron_bio.models.build import build_model
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh
from megatron_bio.parallel.parameters import initialize
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import (
    BERT_SPECIAL_TOKENS,
    END_OF_TEXT,
    build_byte_level,
    build_wordpiece,
)
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder


@dataclass(frozen=True)
class Trained:
    """A run's folder with one checkpoint, and what went into it."""

    run: Path
    tokenizer: Path
    config: ModelConfig
    weights: dict[str, torch.Tensor]


class Tensors(TensorSource):
    """Tensors in memory."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def described(self) -> dict[str, torch.Tensor]:
        return {name: value.to("meta") for name, value in self.tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        return self.tensors[name]


def read_all(source: TensorSource) -> dict[str, torch.Tensor]:
    """All tensors, each as its description says."""
    found = {name: source.read(name) for name in source.described()}
    for name, described in source.described().items():
        assert (described.shape, described.dtype) == (found[name].shape, found[name].dtype), name
    return found


def new_model(config: ModelConfig):
    mesh = single_process_mesh()
    return build_model(config, TensorParallel(mesh["tp"], False, torch.float32)).eval()


def random_model(config: ModelConfig):
    """Noise on every parameter, so that no bias is 0, no norm is 1 and nothing can be left out or swapped unseen."""
    model = new_model(config)
    initialize(model, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            weights = parameter.to_local()
            weights.add_(torch.randn(weights.shape, generator=generator), alpha=0.1)
    return model


def save_run(run: Path, tokenizer: Path, shape: ModelConfig, model, **changes: object) -> Trained:
    """Write a checkpoint as training does; `changes` go over info.json."""
    loaded = Tokenizer.load(tokenizer)
    pretrain = PretrainConfig(
        model=shape,
        data=DataConfig(prefixes=["/home/somebody/tokens"], tokenizer=str(tokenizer), sequence_length=40),
        training=TrainingConfig(output=str(run), train_steps=1000),
    )
    info = {
        "format": 1,
        "step": 700,
        "samples": 44_800,
        "tokens": 1_234_567,
        "config": asdict(pretrain),
        "tokenizer_fingerprint": loaded.fingerprint,
    }
    weights = {name: value.detach() for name, value in model.named_parameters()}
    state = {f"model.{name}": value for name, value in weights.items()}
    save_checkpoint(run / "checkpoints", 700, state, info | changes, keep=1)
    return Trained(run, tokenizer, shape, {name: value.to_local() for name, value in weights.items()})


def tiny_config(architecture: str, tokenizer: Path, **changes: object) -> ModelConfig:
    sizes = {
        "num_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "ffn_hidden_size": 80,
        "max_position_embeddings": 48,
        "vocab_size": Tokenizer.load(tokenizer).vocab_size,
    }
    return ModelConfig(architecture=architecture, **(sizes | changes))


WORDS = [
    "aspirin",
    "inhibits",
    "platelet",
    "aggregation",
    "in",
    "heart",
    "disease",
    "the",
    "of",
    "and",
    "cells",
]


def wordpiece_folder(folder: Path, size: int = 203, lowercase: bool = True) -> Path:
    """A vocabulary of `size` tokens: single characters, the words above, and names that no text has."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789.,;-" + (
        "" if lowercase else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    pieces = [*BERT_SPECIAL_TOKENS, *characters, *(f"##{c}" for c in characters), *WORDS]
    pieces += [f"unused{number}" for number in range(size - len(pieces))]
    write_tokenizer_folder(folder, build_wordpiece({piece: n for n, piece in enumerate(pieces)}, lowercase))
    return folder


def byte_level_folder(folder: Path) -> Path:
    """260 tokens: all bytes, three merges, the end of a document."""
    merges = [("i", "n"), ("a", "t"), ("Ġ", "in")]
    pieces = [
        END_OF_TEXT,
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(left + right for left, right in merges),
    ]
    core = build_byte_level({piece: n for n, piece in enumerate(pieces)}, merges, add_prefix_space=False)
    write_tokenizer_folder(folder, core)
    return folder
