"""A checkpoint of any format as one of this library.

FOLDER/checkpoints/step-…   as a run's, with `imported_from` in its info.json
FOLDER/tokenizer/           the tokenizer that came with it
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import megatron_bio
from megatron_bio.checkpoint.manifest import IMPORTED_FROM
from megatron_bio.checkpoint.stream import write_stream
from megatron_bio.checkpoint.trained import FORMAT_VERSION, TOKENIZER
from megatron_bio.config.convert import ConvertOptions
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.convert.tokenizer_files import longest_sequence, write_tokenizer
from megatron_bio.tokens.tokenizer import Tokenizer


def write_checkpoint(checkpoint: Checkpoint, folder: Path, options: ConvertOptions) -> None:
    """Write the weights in float32, as training needs them, with the moments if there are any, and the tokenizer."""
    assert checkpoint.tokenizer is not None, "the conversion has found the tokenizer before it writes"
    reads: dict[str, Callable[[], Tensor]] = {}
    described: dict[str, Tensor] = {}
    for prefix, source in (("model.", checkpoint.weights), ("optimizer.", checkpoint.moments)):
        for name, value in source.described().items() if source else ():
            described[prefix + name] = value.to(torch.float32)
            reads[prefix + name] = _reading(source, name)
    (folder / TOKENIZER).mkdir()
    write_tokenizer(checkpoint.tokenizer, folder / TOKENIZER, longest_sequence(checkpoint))
    write_stream(
        folder / "checkpoints", checkpoint.step, described, lambda name: reads[name](), _info(checkpoint)
    )


def _reading(source: TensorSource | None, name: str) -> Callable[[], Tensor]:
    assert source is not None
    return lambda: source.read(name).to(torch.float32)


def _info(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return info.json: all that is known of the training, under which `imported_from` marks it as weights alone."""
    known = dict(checkpoint.training)
    config = known.get("config", {}) | {"model": asdict(checkpoint.model)}
    assert checkpoint.tokenizer is not None
    return known | {
        "format": FORMAT_VERSION,
        "step": checkpoint.step,
        "samples": known.get("samples", 0),
        "tokens": known.get("tokens", 0),
        "config": config,
        "tokenizer_fingerprint": Tokenizer.load(checkpoint.tokenizer).fingerprint,
        IMPORTED_FROM: {
            "format": checkpoint.format,
            "name": checkpoint.path.resolve().name,
            "megatron_bio": megatron_bio.__version__,
            **({"before": known[IMPORTED_FROM]} if IMPORTED_FROM in known else {}),
        },
    }
