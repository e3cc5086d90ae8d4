"""Which tensors a model of ours has, to compare with what a checkpoint has."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.errors import ConvertError
from megatron_bio.models.bert import Bert
from megatron_bio.models.build import build_model
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh

_NAMED = 6


def empty_model(model: ModelConfig, compute_dtype: torch.dtype = torch.float32) -> Bert | Gpt:
    """Return the model of one process without values, on the meta device."""
    layout = TensorParallel(
        single_process_mesh("cpu")["tp"], sequence_parallel=False, compute_dtype=compute_dtype
    )
    with torch.device("meta"):
        return build_model(model, layout).eval()


def our_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name and full shape of each parameter."""
    return {name: tuple(value.shape) for name, value in empty_model(model).named_parameters()}


def require_tensors(path: Path, model: ModelConfig, described: Mapping[str, Tensor]) -> None:
    """Raise `ConvertError` unless tensors under our names are those of the model."""
    found = {name: tuple(value.shape) for name, value in described.items()}
    require_shapes(path, our_shapes(model), found)


def require_shapes(
    path: Path, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise one `ConvertError` that names the tensors that are missing, left over or of another shape."""
    wrong = {
        "missing": [name for name in expected if name not in found],
        "not of this model": [name for name in found if name not in expected],
        "of another shape": [
            f"{name} {list(found[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in found and tuple(found[name]) != tuple(shape)
        ],
    }
    if any(wrong.values()):
        told = "; ".join(f"{kind}: {_some(names)}" for kind, names in wrong.items() if names)
        raise ConvertError(
            f"{path}: the tensors do not belong to the model that its configuration describes. {told}. Is the "
            f"configuration that of these weights, and are all files there?"
        )


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
