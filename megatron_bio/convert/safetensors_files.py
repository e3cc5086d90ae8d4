"""Safetensors files as Hugging Face names them, written tensor by tensor: one file, or numbered shards with an index."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.convert.safetensors_source import DTYPES, LENGTH_BYTES
from megatron_bio.convert.sources import TensorSource

SHARD_BYTES = 5_000_000_000
_ALIGNMENT = 8
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_safetensors(folder: Path, source: TensorSource, shard_bytes: int = SHARD_BYTES) -> int:
    """Write all tensors of `source` and return the sum of their bytes; one tensor is in memory at a time."""
    described = source.described()
    shards = _shards(described, shard_bytes)
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors" for number in range(len(shards))]
    for file_name, shard in zip(names, shards, strict=True):
        _write_file(folder / file_name, {name: described[name] for name in shard}, source)
    total = sum(value.nbytes for value in described.values())
    if len(shards) > 1:
        placed = {name: file_name for file_name, shard in zip(names, shards, strict=True) for name in shard}
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        text = json.dumps(index, indent=1) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return total


def _shards(described: Mapping[str, Tensor], shard_bytes: int) -> list[list[str]]:
    """Divide the names, in order, so that no shard is larger than asked unless one tensor is."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, value in described.items():
        if shards[-1] and filled + value.nbytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += value.nbytes
    return shards


def _write_file(path: Path, described: Mapping[str, Tensor], source: TensorSource) -> None:
    with path.open("wb") as stream:
        stream.write(_header(described))
        for name, expected in described.items():
            value = source.read(name)
            assert (value.shape, value.dtype) == (expected.shape, expected.dtype), name
            if value.numel():
                stream.write(memoryview(value.contiguous().view(-1).view(torch.uint8).numpy()))


def _header(described: Mapping[str, Tensor]) -> bytes:
    # Readers of old transformers refuse files that do not name the library whose tensors they are.
    content: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, value in described.items():
        end = start + value.nbytes
        content[name] = {
            "dtype": _NAMES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(content, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def shard_names(weight_map: Mapping[str, str]) -> Sequence[str]:
    """Return the files that an index names, each once, in order."""
    return list(dict.fromkeys(weight_map.values()))
