"""Weights as they are stored: rounded to a dtype, and never a value that no model can have."""

from collections.abc import Mapping

import torch
from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.sources import TensorSource


class FiniteTensors(TensorSource):
    """The same tensors; raises `ConvertError` for one with NaN or infinity."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes as in the source."""
        return self._source.described()

    def read(self, name: str) -> Tensor:
        """Return one tensor whose values are numbers."""
        tensor = self._source.read(name)
        if not _is_finite(tensor):
            raise ConvertError(
                f"{name}: the checkpoint has values that are not finite (NaN or infinity); the run had diverged. "
                f"Convert an earlier checkpoint."
            )
        return tensor


class RoundedTensors(TensorSource):
    """The tensors in another dtype; raises `ConvertError` for values that are too large for it."""

    def __init__(self, source: TensorSource, dtype: torch.dtype) -> None:
        self._source, self._dtype = source, dtype

    def described(self) -> Mapping[str, Tensor]:
        """Shapes as in the source."""
        return {name: value.to(self._dtype) for name, value in self._source.described().items()}

    def read(self, name: str) -> Tensor:
        """Return one tensor, rounded to the nearest."""
        tensor = self._source.read(name)
        rounded = tensor.to(self._dtype)
        if rounded.dtype.itemsize < tensor.dtype.itemsize and not _is_finite(rounded):
            raise ConvertError(
                f"{name}: its largest value {tensor.abs().max().item():g} does not fit in {self._dtype} "
                f"(at most {torch.finfo(self._dtype).max:g}). Give --precision bf16 or fp32."
            )
        return rounded


def _is_finite(tensor: Tensor) -> bool:
    # NaN passes through aminmax, which takes a fraction of the time of isfinite.
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())
