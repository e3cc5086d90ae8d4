"""A torch_dist folder of Megatron Core or Megatron-LM as a `Checkpoint`."""

import json
import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import our_shapes, require_shapes
from megatron_bio.convert.megatron_core.arguments import VERSION, model_of
from megatron_bio.convert.megatron_core.layers import OPTIMIZER, LayerTensors, prefix_of
from megatron_bio.convert.megatron_core.pieces import INDEX, StoredTensor, read_pieces
from megatron_bio.convert.megatron_core.table import OUTPUT_WEIGHT, TOKEN_TYPES, WORDS, megatron_core_table
from megatron_bio.convert.sources import Checkpoint, TensorSource
from megatron_bio.convert.table import AsOurs, foreign_shapes
from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.zero_token_types import WithZeroTokenTypes

DESCRIPTION = "metadata.json"
COMMON = "common.pt"
LATEST = "latest_checkpointed_iteration.txt"
TOKENIZER = "tokenizer"
MOMENTS = ("exp_avg", "exp_avg_sq")
_MASTERS = ("param", "fp32_param")
"""What Megatron's optimizers call the weights in float32 that they keep of a model in bf16 or fp16."""
_BACKEND = "torch_dist"
_MOST_PADDING = 1024
"""A table may be padded to a multiple of 128 times the tensor-parallel size; more is another tokenizer."""


class Moments(TensorSource):
    """Adam's moments under NAME.exp_avg and NAME.exp_avg_sq, from one source for each kind."""

    def __init__(self, kinds: Mapping[str, TensorSource]) -> None:
        self._kinds = kinds

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes."""
        return {
            f"{name}.{kind}": value
            for kind, source in self._kinds.items()
            for name, value in source.described().items()
        }

    def read(self, name: str) -> Tensor:
        """Return one moment."""
        parameter, _, kind = name.rpartition(".")
        return self._kinds[kind].read(parameter)


@dataclass(frozen=True)
class _Common:
    """What common.pt tells."""

    arguments: Mapping[str, Any]
    iteration: int
    version: Any


def recognises(path: Path) -> bool:
    """Whether it is a folder of `dist_checkpointing`, or one of Megatron-LM whose newest checkpoint is."""
    folder = _iteration_folder(path)
    return (
        folder is not None and (folder / DESCRIPTION).is_file() and "sharded_backend" in _description(folder)
    )


def open_checkpoint(path: Path, vocab_size: int | None) -> Checkpoint:
    """Open the newest checkpoint at `path`; rows of the vocabulary beyond `vocab_size` tokens are padding.

    Without `vocab_size` all rows count as tokens, and the facts say so. Raises `UserError` for anything but the tensors of a
    BERT or GPT as ours.
    """
    folder = _require_folder(path)
    stored, objects = read_pieces(folder)
    prefix = prefix_of(stored)
    if prefix is None:
        raise ConvertError(f"{folder}: expected one model with a tensor {WORDS}; found {_some(stored)}.")
    common = _read_common(folder)
    layers = LayerTensors(stored, prefix, str(folder))
    tensors: TensorSource = layers
    _require_tied(folder, tensors)
    found = tensors.described()
    rows = found[WORDS].shape[0]
    tokens = vocab_size if vocab_size is not None and 0 <= rows - vocab_size < _MOST_PADDING else rows
    model = model_of(folder, common.arguments, found, tokens)
    if model.architecture == "bert" and not model.order_head and TOKEN_TYPES not in found:
        tensors = WithZeroTokenTypes(tensors, TOKEN_TYPES, WORDS)
    table = megatron_core_table(model, rows)
    expected = foreign_shapes(table, our_shapes(model))
    require_shapes(folder, expected, _shapes(tensors))
    _require_floats(folder, tensors)
    kept = {
        kind: source
        for kind in (*_MASTERS, *MOMENTS)
        if (source := _of_optimizer(stored, kind, prefix, str(folder), expected)) is not None
    }
    masters = next((kind for kind in _MASTERS if kind in kept), None)
    has_moments = all(kind in kept for kind in MOMENTS)
    weights = tensors if masters is None else _Replaced(tensors, kept[masters])
    tokenizer = folder.parent / TOKENIZER
    return Checkpoint(
        format="megatron_core",
        path=folder,
        model=model,
        weights=AsOurs(table, weights),
        moments=Moments({kind: AsOurs(table, kept[kind]) for kind in MOMENTS}) if has_moments else None,
        step=common.iteration,
        training=_training(common.arguments),
        tokenizer=tokenizer if tokenizer.is_dir() else None,
        facts={
            "version": common.version,
            "layout": "stacked layers" if layers.is_stacked else "one tensor per layer",
            "dtype": str(found[WORDS].dtype).removeprefix("torch."),
            "order_of_query_key_value": "heads, 3, head size",
            "tokenizer_type": common.arguments.get("tokenizer_type"),
            "iteration": common.iteration,
            "vocabulary_rows": rows,
            "vocabulary_padding": rows - tokens if vocab_size is not None else "unknown without a tokenizer",
            "optimizer": _optimizer(stored, objects, has_moments),
            "weights_from": "the model" if masters is None else f"the optimizer's {masters}, float32",
            "trained_with": {
                name: common.arguments.get(name)
                for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size")
            },
            "notes": _notes(common.arguments),
        },
    )


class _Replaced(TensorSource):
    """The tensors of `source`, those that `masters` has from there."""

    def __init__(self, source: TensorSource, masters: TensorSource) -> None:
        self._source, self._masters = source, masters
        self._better = masters.described()

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes."""
        return {**self._source.described(), **self._better}

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        return (self._masters if name in self._better else self._source).read(name)


def _iteration_folder(path: Path) -> Path | None:
    """Return the folder of a checkpoint that a user means by it or by the folder that has it."""
    if not path.is_dir():
        return None
    if not (path / LATEST).is_file():
        return path
    with (path / LATEST).open("rb") as file:
        latest = file.read(32).strip().decode("ascii", "replace")
    if re.fullmatch(r"\d{1,18}", latest, re.ASCII):
        return path / f"iter_{int(latest):07d}"
    return path / "release" if latest == "release" else None


def _description(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _require_folder(path: Path) -> Path:
    folder = _iteration_folder(path)
    if folder is None or not folder.is_dir():
        found = (path / LATEST).is_file() and f"; {LATEST} names one that is not there"
        raise ConvertError(
            f"{path}: expected a folder with {DESCRIPTION}, {INDEX} and {COMMON}{found or ''}."
        )
    backend = _description(folder).get("sharded_backend")
    if backend != _BACKEND:
        raise ConvertError(
            f"{folder / DESCRIPTION}: sharded_backend is {backend!r}, expected {_BACKEND!r}. Load the checkpoint with "
            f"Megatron-LM and save it with --ckpt-format {_BACKEND}."
        )
    return folder


def _read_common(folder: Path) -> _Common:
    content = open_torch_file(folder / COMMON) if (folder / COMMON).is_file() else {}
    if not isinstance(content, dict):
        raise ConvertError(f"{folder / COMMON}: expected a dict, found {type(content).__name__}.")
    arguments, iteration = content.get("args"), content.get("iteration")
    version = content.get("checkpoint_version")
    if version is not None and (type(version) not in (int, float) or version < VERSION):
        raise ConvertError(
            f"{folder / COMMON}: checkpoint_version is {version!r}, expected at least {VERSION}."
        )
    return _Common(
        vars(arguments) if isinstance(arguments, Namespace) else {},
        iteration if type(iteration) is int and iteration >= 0 else 0,
        version,
    )


def _require_tied(folder: Path, tensors: TensorSource) -> None:
    if OUTPUT_WEIGHT in tensors.described():
        raise ConvertError(
            f"{folder}: {OUTPUT_WEIGHT} is there: the output layer has a table of its own, that of our models is the word "
            f"embeddings. The checkpoint was trained with --untie-embeddings-and-output-weights and cannot be converted."
        )


def _require_floats(folder: Path, tensors: TensorSource) -> None:
    for name, value in tensors.described().items():
        if value.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            raise ConvertError(
                f"{folder}: {name} is stored as {value.dtype}, expected floating-point numbers."
            )


def _shapes(source: TensorSource) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in source.described().items()}


def _of_optimizer(
    stored: Mapping[str, StoredTensor],
    kind: str,
    prefix: str,
    where: str,
    expected: Mapping[str, tuple[int, ...]],
) -> TensorSource | None:
    """Return what the optimizer keeps of each parameter, if it is there for all of them under their names."""
    source: TensorSource = LayerTensors(stored, f"optimizer.state.{kind}.{prefix}", where)
    found = _shapes(source)
    if not found:
        return None
    if kind in MOMENTS:
        return source if found == dict(expected) else None
    return source if all(expected.get(name) == shape for name, shape in found.items()) else None


def _optimizer(stored: Mapping[str, StoredTensor], objects: list[str], has_moments: bool) -> str:
    if has_moments:
        return "moments under the names of the parameters"
    present = any(OPTIMIZER.match(name) for name in (*stored, *objects))
    return "present, not carried: its tensors are not those of parameters" if present else "none"


def _notes(arguments: Mapping[str, Any]) -> list[str]:
    if "bias_gelu_fusion" in arguments:
        return []
    return [
        f"{COMMON} does not tell bias_gelu_fusion; the MLP is taken to compute GELU by tanh, Megatron-LM's default."
    ]


def _training(arguments: Mapping[str, Any]) -> dict[str, Any]:
    samples = arguments.get("consumed_train_samples")
    return {"samples": samples} if type(samples) is int and samples > 0 else {}


def _some(names: Mapping[str, StoredTensor]) -> str:
    return ", ".join(list(names)[:5]) or "no tensors"
