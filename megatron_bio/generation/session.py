"""A checkpoint opened for use: its model on the ranks that torchrun started, split over all of them, and its tokenizer."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from megatron_bio.checkpoint.load import load_checkpoint
from megatron_bio.checkpoint.trained import Trained, read_trained
from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.generation.errors import GenerationError
from megatron_bio.models.bert import Bert
from megatron_bio.models.build import build_model
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.layers import COMPUTE_DTYPES, TensorParallel
from megatron_bio.parallel.world import World, open_world
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.trained_with import require_trained_with, tokenizer_place

_VERBS = {"gpt": "generate", "bert": "fill"}


class GenerationWarning(UserWarning):
    """Something works, but hardly as the user expects."""


@dataclass(frozen=True)
class Session:
    """What the verbs work with."""

    trained: Trained
    tokenizer: Tokenizer
    world: World


@contextmanager
def open_session(
    checkpoint: Path, tokenizer: Path | None, device: str, architecture: str
) -> Iterator[Session]:
    """Join the ranks, read the checkpoint's description and find its tokenizer; no weights are read yet.

    All ranks share the model by tensor parallelism. Raises `GenerationError` for a checkpoint of another architecture, and
    for a number of ranks that its layers cannot be split over.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    with open_world(ParallelConfig(tensor_parallel=ranks), device) as world:
        trained = read_trained(checkpoint)
        _require(trained, architecture)
        _require_divisible(trained.model, ranks)
        found = Tokenizer.load(tokenizer_place(trained.folder, trained.tokenizer, tokenizer))
        require_trained_with(
            found,
            model=trained.folder,
            vocab_size=trained.model.vocab_size,
            fingerprint=trained.tokenizer_fingerprint,
        )
        yield Session(trained, found, world)


def load_model(session: Session, precision: str) -> Bert | Gpt:
    """Return this rank's part of the model, with the checkpoint's weights in the dtype to compute in."""
    world, dtype = session.world, COMPUTE_DTYPES[precision]
    layout = TensorParallel(world.mesh["tp"], sequence_parallel=False, compute_dtype=dtype)
    with world.device:
        model = build_model(session.trained.model, layout)
    load_checkpoint(
        session.trained.folder, {f"model.{name}": value.detach() for name, value in model.named_parameters()}
    )
    # Layers cast their weights anyway; cast once, they need not do it at every token.
    return model.to(dtype).eval()


def warn_of_untrained_positions(trained: Trained, longest: int) -> None:
    """Say that a text reaches positions that training never saw."""
    if longest > trained.longest_sequence:
        warnings.warn(
            f"texts of up to {longest} tokens: the model was trained on sequences of {trained.longest_sequence}, so the "
            f"positions after these have never been trained and what stands there is of little use.",
            GenerationWarning,
            stacklevel=2,
        )


def require_finite(logits: torch.Tensor, precision: str) -> None:
    """Raise `GenerationError` for logits that are no numbers."""
    if not bool(torch.isfinite(logits).all()):
        raise GenerationError(
            f"The model gives logits that are not finite in {precision}. Numbers above 65504 overflow in fp16: give --precision "
            f"bf16 or fp32. If it is fp32, look into the training log: the checkpoint itself is broken."
        )


def _require(trained: Trained, architecture: str) -> None:
    found = trained.model.architecture
    if found != architecture:
        raise GenerationError(
            f"{trained.folder}: expected a checkpoint of architecture {architecture}, found {found}; "
            f"`megatron-bio {_VERBS[found]}` is for these."
        )


def _require_divisible(model: ModelConfig, ranks: int) -> None:
    assert model.vocab_size is not None, "a checkpoint's configuration has the size of its vocabulary"
    for what, size in (
        ("attention heads", model.num_attention_heads),
        ("MLP width", model.ffn_size),
        ("vocabulary rows", padded_vocab_size(model.vocab_size)),
    ):
        if size % ranks:
            raise GenerationError(
                f"The model is split over all {ranks} ranks, but its {size} {what} are not a multiple of {ranks}; start torchrun "
                f"with a --nproc-per-node that divides {size}."
            )
