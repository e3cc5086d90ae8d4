"""A run or checkpoint of this library as a `Checkpoint`."""

from pathlib import Path
from typing import Any

from megatron_bio.checkpoint.find import complete_checkpoints
from megatron_bio.checkpoint.manifest import MANIFEST
from megatron_bio.checkpoint.stream import StoredTensors
from megatron_bio.checkpoint.trained import read_trained
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.expected import require_tensors
from megatron_bio.convert.sources import Checkpoint


def recognises(path: Path) -> bool:
    """Whether it is a checkpoint's folder, a checkpoints/ folder or a run's folder with a complete checkpoint."""
    return (path / MANIFEST).is_file() or any(
        complete_checkpoints(root) for root in (path, path / "checkpoints")
    )


def checkpoints_of_run(path: Path) -> list[Path]:
    """Return all complete checkpoints of a run's folder or of its checkpoints/ folder, oldest first.

    Raises `ConvertError` if it has none.
    """
    found = complete_checkpoints(path) or complete_checkpoints(path / "checkpoints")
    if not found:
        raise ConvertError(
            f"{path}: expected a run's folder with checkpoints (step-…), found none. Give the folder that training.output named."
        )
    return found


def open_checkpoint(path: Path, vocab_size: int | None) -> Checkpoint:
    """Open the checkpoint that a user means by `path`; it knows its vocabulary, so `vocab_size` is not needed.

    Raises `UserError` if there is none, if it is of another version, or if its tensors are not those of its model.
    """
    trained = read_trained(path)
    folder = trained.folder
    weights = StoredTensors(folder, "model.")
    require_tensors(folder, trained.model, weights.described())
    moments = StoredTensors(folder, "optimizer.")
    return Checkpoint(
        format="megatron_bio",
        path=folder,
        model=trained.model,
        weights=weights,
        moments=moments if moments.described() else None,
        step=trained.step,
        tokenizer=trained.tokenizer,
        training=trained.info,
        facts=_facts(trained.info),
    )


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    layout = info["config"].get("parallel", {})
    saved_at = {name: layout[name] for name in ("tensor_parallel", "pipeline_parallel") if name in layout}
    return {
        "version": info["format"],
        "saved_at": saved_at or None,
        "order_of_query_key_value": "heads, 3, head size",
        "imported_from": info.get("imported_from"),
    }
