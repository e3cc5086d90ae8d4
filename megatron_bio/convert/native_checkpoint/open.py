"""A run or checkpoint of this library as a `Checkpoint`."""

from pathlib import Path
from typing import Any

from megatron_bio.checkpoint.find import complete_checkpoints, resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.checkpoint.manifest import MANIFEST
from megatron_bio.checkpoint.stream import StoredTensors
from megatron_bio.config.model import ModelConfig, stored_model_options
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import require_tensors
from megatron_bio.convert.sources import Checkpoint

FORMAT_VERSION = 1
TOKENIZER = "tokenizer"
"""Folder beside checkpoints/ of an imported checkpoint."""


def recognises(path: Path) -> bool:
    """Whether it is a checkpoint's folder, a checkpoints/ folder or a run's folder with a complete checkpoint."""
    return (path / MANIFEST).is_file() or any(
        complete_checkpoints(root) for root in (path, path / "checkpoints")
    )


def open_checkpoint(path: Path, vocab_size: int | None) -> Checkpoint:
    """Open the checkpoint that a user means by `path`; it knows its vocabulary, so `vocab_size` is not needed.

    Raises `UserError` if there is none, if it is of another version, or if its tensors are not those of its model.
    """
    folder = resolve_checkpoint(path)
    info = read_info(folder)
    if info.get("format") != FORMAT_VERSION:
        raise ConvertError(
            f"{folder}: expected a checkpoint of format {FORMAT_VERSION}, found {info.get('format')}; "
            f"convert it with the version of megatron-bio that wrote it."
        )
    try:
        model = ModelConfig(**stored_model_options(info["config"]["model"]))
        step, _ = info["step"], info["tokenizer_fingerprint"]
    except (KeyError, TypeError) as error:
        raise ConvertError(
            f"{folder / 'info.json'}: expected the progress and configuration of a pretraining run; found: {error}. "
            f"Was it written by another version of megatron-bio?"
        ) from error
    weights = StoredTensors(folder, "model.")
    require_tensors(folder, model, weights.described())
    moments = StoredTensors(folder, "optimizer.")
    return Checkpoint(
        format="megatron_bio",
        path=folder,
        model=model,
        weights=weights,
        moments=moments if moments.described() else None,
        step=step,
        tokenizer=_tokenizer(folder, info),
        training=info,
        facts=_facts(info),
    )


def _tokenizer(folder: Path, info: dict[str, Any]) -> Path | None:
    beside = folder.parent.parent / TOKENIZER
    if beside.is_dir():
        return beside
    named = info["config"].get("data", {}).get("tokenizer")
    return Path(named) if named else None


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    layout = info["config"].get("parallel", {})
    saved_at = {name: layout[name] for name in ("tensor_parallel", "pipeline_parallel") if name in layout}
    return {
        "version": info["format"],
        "saved_at": saved_at or None,
        "order_of_query_key_value": "heads, 3, head size",
        "imported_from": info.get("imported_from"),
    }
