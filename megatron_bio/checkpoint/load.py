"""Loading a checkpoint into tensors that may be split in another way than when it was saved."""

from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from megatron_bio.checkpoint.manifest import INFO, CheckpointError, read_json, verify
from megatron_bio.checkpoint.reader import RestrictedReader


def read_info(folder: Path) -> dict[str, Any]:
    """Return what the checkpoint says besides tensors: configuration, step, fingerprints."""
    return read_json(folder / INFO)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and full shapes of a checkpoint's tensors."""
    metadata = RestrictedReader(folder).read_metadata()
    return {name: tuple(entry.size) for name, entry in metadata.state_dict_metadata.items()}


def load_checkpoint(folder: Path, state: dict[str, Tensor]) -> None:
    """Fill the tensors of `state` in place from a checkpoint; all ranks call it.

    The files are checked against the manifest first, each by one rank. Raises `CheckpointError` on every rank for
    a damaged file, a missing tensor or another shape.
    """
    problems = verify(folder, dist.get_rank(), dist.get_world_size())
    found: list[list[str]] = [[]] * dist.get_world_size()
    dist.all_gather_object(found, problems)
    if all_problems := sorted({line for lines in found for line in lines}):
        raise CheckpointError(
            f"{folder}: the checkpoint is damaged: {'; '.join(all_problems)}. Remove this folder to go on from the one before."
        )
    _check_shapes(folder, state)
    try:
        dcp.load(state, storage_reader=RestrictedReader(folder))
    except CheckpointException as error:
        reasons = "; ".join(f"rank {rank}: {failure[0]}" for rank, failure in error.failures.items())
        raise CheckpointError(f"{folder}: the checkpoint could not be read: {reasons}.") from error


def _check_shapes(folder: Path, state: dict[str, Tensor]) -> None:
    stored = tensor_shapes(folder)
    for name, tensor in state.items():
        if name not in stored:
            raise CheckpointError(
                f"{folder}: expected a tensor {name}, which is not in it; it belongs to another model."
            )
        if stored[name] != tuple(tensor.shape):
            raise CheckpointError(
                f"{folder}: {name} has shape {list(stored[name])}, the model needs {list(tensor.shape)}; "
                f"it belongs to another model."
            )
