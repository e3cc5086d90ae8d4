"""Safetensors files as Hugging Face names them: one, or numbered shards with an index."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from megatron_bio.convert.errors import ConvertError

SHARD_BYTES = 5_000_000_000
_METADATA = {"format": "pt"}


def write_weights(
    folder: Path,
    tensors: Iterable[tuple[str, Tensor]],
    dtype: torch.dtype,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Write contiguous tensors rounded to `dtype` and return the sum of their bytes.

    Takes them one by one and holds one shard in memory. Raises `ConvertError` for a value that is no number, or none in
    `dtype`.
    """
    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    pending_bytes = total_bytes = 0
    for name, tensor in tensors:
        rounded = _rounded(name, tensor, dtype)
        if pending and pending_bytes + rounded.nbytes > shard_bytes:
            shards.append(_write_shard(folder, len(shards), pending))
            pending, pending_bytes = {}, 0
        pending[name] = rounded
        pending_bytes += rounded.nbytes
        total_bytes += rounded.nbytes
    shards.append(_write_shard(folder, len(shards), pending))
    _name_shards(folder, shards, total_bytes)
    return total_bytes


def _rounded(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not _is_finite(tensor):
        raise ConvertError(
            f"{name}: the checkpoint has values that are not finite (NaN or infinity); the run had diverged. "
            f"Convert an earlier checkpoint."
        )
    rounded = tensor.to(dtype)
    if not _is_finite(rounded):
        raise ConvertError(
            f"{name}: its largest value {tensor.abs().max().item():g} does not fit in {dtype} "
            f"(at most {torch.finfo(dtype).max:g}). Give --precision bf16 or fp32."
        )
    return rounded


def _is_finite(tensor: Tensor) -> bool:
    # NaN passes through aminmax, which takes a fraction of the time of isfinite.
    return bool(torch.stack(tensor.aminmax()).isfinite().all())


def _write_shard(folder: Path, index: int, tensors: dict[str, Tensor]) -> list[str]:
    save_file(tensors, _unnamed(folder, index), metadata=_METADATA)
    # safetensors makes files that their owner alone may read; the folder shows what the user wants.
    _unnamed(folder, index).chmod(folder.stat().st_mode & 0o666)
    return list(tensors)


def _unnamed(folder: Path, index: int) -> Path:
    # The final name holds the number of shards, which the last one tells.
    return folder / f"shard-{index}"


def _name_shards(folder: Path, shards: list[list[str]], total_bytes: int) -> None:
    if len(shards) == 1:
        _unnamed(folder, 0).rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for index, names in enumerate(shards):
        file_name = f"model-{index + 1:05d}-of-{len(shards):05d}.safetensors"
        _unnamed(folder, index).rename(folder / file_name)
        weight_map |= dict.fromkeys(names, file_name)
    content = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps(content, indent=1) + "\n", encoding="utf-8"
    )
