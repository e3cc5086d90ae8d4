"""The weight files of a folder: which there are, and their tensors one at a time."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.safetensors_source import SafetensorsSource
from megatron_bio.convert.sources import TensorSource
from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.tensors import LazyTensor

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
WEIGHT_FILES = (SAFETENSORS, SAFETENSORS_INDEX, PICKLE, PICKLE_INDEX)
"""In the order of preference, as in transformers."""


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; raises `ConvertError` for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConvertError(
            f"{path}: expected readable JSON, found: {error}. Copy it again from its source."
        ) from error
    if not isinstance(content, dict):
        raise ConvertError(f"{path}: expected a JSON object, found {type(content).__name__}.")
    return content


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights, as an index names them or the one that there is."""
    name = next((name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if name is None:
        raise ConvertError(
            f"{folder}: expected one of {', '.join(WEIGHT_FILES)}; found none of them. Download the weights too."
        )
    if not name.endswith(".json"):
        return [folder / name]
    index = read_json(folder / name)
    placed = index.get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(file, str) for file in placed.values()):
        raise ConvertError(
            f"{folder / name}: expected weight_map with a file for each tensor; found another content."
        )
    files = [folder / file for file in dict.fromkeys(placed.values())]
    for file in files:
        if file.parent != folder or not file.is_file():
            raise ConvertError(
                f"{folder / name}: it names {file.name}, which is not in the folder. Download all files, or get the index that "
                f"belongs to these."
            )
    return files


def stored_tensors(folder: Path) -> TensorSource:
    """Return all tensors of the folder under the names in the files."""
    files = weight_files(folder)
    if files[0].suffix == ".safetensors":
        return SafetensorsSource(files)
    return _PickledTensors(files)


class _PickledTensors(TensorSource):
    """The tensors of files that torch.save wrote, read without running what is in them."""

    def __init__(self, files: list[Path]) -> None:
        self._tensors: dict[str, LazyTensor] = {}
        for file in files:
            content = open_torch_file(file)
            if not isinstance(content, Mapping):
                raise ConvertError(
                    f"{file}: expected tensors by name, found {type(content).__name__}. Is it the weights of a model?"
                )
            for name, tensor in content.items():
                if not isinstance(name, str) or not isinstance(tensor, LazyTensor):
                    raise ConvertError(
                        f"{file}: expected tensors by name, {name} is a {type(tensor).__name__}."
                    )
                self._tensors[name] = tensor

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes, in the order of the files."""
        return {
            name: torch.empty(tuple(tensor.shape), dtype=tensor.dtype, device="meta")
            for name, tensor in self._tensors.items()
        }

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        return self._tensors[name].read()
