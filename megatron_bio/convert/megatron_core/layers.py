"""Tensors of a torch_dist folder under the names of the table, whichever way they were saved.

encoder.layers.mlp.linear_fc1.weight      [layers, …], all layers in one: how Megatron Core saves equal layers
encoder.layers.3.mlp.linear_fc1.weight    each layer by itself: `non_homogeneous_layers`
encoder.layers.3.input_layernorm.weight   a norm that is not fused into the matrix that follows
model. or module. before all names        programs that save the model with a prefix
"""

import re
from collections.abc import Mapping

from torch import Tensor

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_core.pieces import StoredTensor
from megatron_bio.convert.megatron_core.table import WORDS
from megatron_bio.convert.sources import TensorSource

_STACKED = re.compile(r"(?P<stack>encoder|decoder)\.layers\.(?!\d+\.)(?P<rest>.+)")
_NORMS = (
    (re.compile(r"\.input_layernorm\.(weight|bias)$"), r".self_attention.linear_qkv.layer_norm_\1"),
    (re.compile(r"\.pre_mlp_layernorm\.(weight|bias)$"), r".mlp.linear_fc1.layer_norm_\1"),
)
_MOST_LAYERS = 10_000
OPTIMIZER = re.compile(r"^(chained_\d+\.)?optimizer\.")


class LayerTensors(TensorSource):
    """Tensors whose names begin with `prefix`, layer by layer, without it."""

    def __init__(self, stored: Mapping[str, StoredTensor], prefix: str, where: str) -> None:
        """`where` is what messages call the checkpoint. Raises `ConvertError` for a tensor that is there twice."""
        self.is_stacked = False
        self._places: dict[str, tuple[StoredTensor, int | None]] = {}
        for full, tensor in stored.items():
            if not full.startswith(prefix) or (not prefix and OPTIMIZER.match(full)):
                continue
            for name, layer in _layers(full.removeprefix(prefix), tensor):
                self.is_stacked |= layer is not None
                if name in self._places:
                    raise ConvertError(f"{where}: {name} is there twice, the second time in {full}.")
                self._places[name] = (tensor, layer)

    def described(self) -> Mapping[str, Tensor]:
        """Shapes and dtypes."""
        return {
            name: tensor.described() if layer is None else tensor.described()[layer]
            for name, (tensor, layer) in self._places.items()
        }

    def read(self, name: str) -> Tensor:
        """Return one tensor, joined from its pieces."""
        tensor, layer = self._places[name]
        return tensor.read(layer)


def prefix_of(stored: Mapping[str, StoredTensor]) -> str | None:
    """Return what stands before the names of the model's tensors; None if there is no model."""
    found = [
        name.removesuffix(WORDS) for name in stored if name.endswith(WORDS) and not OPTIMIZER.match(name)
    ]
    return found[0] if len(found) == 1 else None


def _layers(name: str, tensor: StoredTensor) -> list[tuple[str, int | None]]:
    stacked = _STACKED.fullmatch(name)
    if stacked is None:
        return [(_fused(name), None)]
    count = tensor.shape[0] if tensor.shape else 0
    if not 0 < count <= _MOST_LAYERS:
        raise ConvertError(f"{name}: expected the layers of a model in its first dimension, found {count:,}.")
    return [(_fused(f"{stacked['stack']}.layers.{layer}.{stacked['rest']}"), layer) for layer in range(count)]


def _fused(name: str) -> str:
    for pattern, fused in _NORMS:
        name = pattern.sub(fused, name)
    return name
