"""Dropout as a pure function of (seed, sample, layer, site, element): the same at every layout and after every resume.

Shapes: R rows, S sequence, H hidden, N heads; a rank holds s of S positions and n of N heads.

The random number of an element is a 32-bit hash of its index inside its sample, keyed with 64 bits per
(sample, layer, site). The sample is the global sample index of the run, which never repeats, so it stands for the
step too. The rounds are those of `lowbias32` (C. Wellons, "Prospecting for hash functions"), with the key's halves added
before and in the middle. 32-bit signed arithmetic wraps, which is what the unsigned hash needs; right shifts are masked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_ROUND_1, _ROUND_2 = 0x7FEB352D, 0x846CA68B - (1 << 32)
_MIX_1, _MIX_2 = 0xFF51AFD7ED558CCD - (1 << 64), 0xC4CEB9FE1A85EC53 - (1 << 64)
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_SITE = 0x632BE59BD9B4E019


def _mix64(x: Tensor) -> Tensor:
    """Finaliser of MurmurHash3 on int64 [any]."""
    for multiplier in (_MIX_1, _MIX_2):
        x = (x ^ ((x >> 33) & 0x7FFFFFFF)) * multiplier
    return x ^ ((x >> 33) & 0x7FFFFFFF)


def _signed(word: int) -> int:
    """Return the int64 with the low 64 bits of `word`."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


def sample_keys(seed: int, sample_ids: Tensor) -> Tensor:
    """Return int64 keys [R] of the samples with these global indices (int64 [R])."""
    return _mix64(_mix64(sample_ids + _signed(seed * 2 + 1)) + _GOLDEN)


def _site_keys(keys: Tensor, layer: int | Tensor, site: int) -> tuple[Tensor, Tensor]:
    number = layer * 16 + int(site) + 1
    # int64 tensors wrap by themselves.
    offset = number * _SITE if isinstance(number, Tensor) else _signed(number * _SITE)
    mixed = _mix64(keys + offset)
    return mixed.to(torch.int32), (mixed >> 32).to(torch.int32)


def keep_mask(keys: Tensor, element: Tensor, probability: float, layer: int | Tensor, site: int) -> Tensor:
    """Return the bool mask of kept elements.

    `keys` int64 and `element` int32 must broadcast to the wanted shape; `element` is the index inside the sample. `layer` is a
    number or an int64 tensor of one, [], which a compiled graph takes as an input instead of a constant.
    """
    first, second = _site_keys(keys, layer, site)
    x = element + first
    x ^= (x >> 16) & 0xFFFF
    x *= _ROUND_1
    x ^= (x >> 15) & 0x1FFFF
    x += second
    x *= _ROUND_2
    x ^= (x >> 16) & 0xFFFF
    x *= _ROUND_1
    x ^= (x >> 15) & 0x1FFFF
    return (x & 0x7FFFFFFF) >= threshold(probability)


def threshold(probability: float) -> int:
    """Return below which of its 2³¹ values the hash drops an element."""
    return int(probability * (1 << 31))


def _apply(x: Tensor, keep: Tensor, probability: float) -> Tensor:
    return torch.where(keep, x * (1.0 / (1.0 - probability)), torch.zeros((), dtype=x.dtype, device=x.device))


def hidden_dropout(
    x: Tensor, probability: float, keys: Tensor, *, layer: int | Tensor, site: int, first_position: int
) -> Tensor:
    """Drop elements of activations.

    x [s, R, H] holds positions first_position.. of each row; keys int64 [R] from `sample_keys`.
    The element index of (position, channel) is position * H + channel.
    """
    if probability == 0.0:
        return x
    positions, _, hidden = x.shape
    element = torch.arange(positions * hidden, dtype=torch.int32, device=x.device) + first_position * hidden
    keep = keep_mask(keys.view(1, -1, 1), element.view(positions, 1, hidden), probability, layer, site)
    return _apply(x, keep, probability)


def attention_dropout(
    probabilities: Tensor,
    probability: float,
    keys: Tensor,
    *,
    layer: int | Tensor,
    site: int,
    first_head: int,
) -> Tensor:
    """Drop attention probabilities [R, n, S, S] of heads first_head..; keys int64 [R].

    The element index of (head, query, key) is (head * S + query) * S + key.
    """
    if probability == 0.0:
        return probabilities
    _, heads, queries, width = probabilities.shape
    count, offset = heads * queries * width, first_head * queries * width
    element = torch.arange(count, dtype=torch.int32, device=probabilities.device) + offset
    keep = keep_mask(keys.view(-1, 1, 1, 1), element.view(1, heads, queries, width), probability, layer, site)
    return _apply(probabilities, keep, probability)


@dataclass(frozen=True)
class DropoutPlace:
    """Where in the run something is dropped, and how often."""

    probability: float
    keys: Tensor
    """int64 [R] from `sample_keys`."""
    layer: int | Tensor
    """A number or an int64 tensor of one, []; see `keep_mask`."""
    site: int

    @classmethod
    def of(
        cls, probability: float, keys: Tensor, layer_number: int, layer_of_graph: Tensor | None, site: int
    ) -> "DropoutPlace":
        """Make it from `arguments`."""
        return cls(probability, keys, layer_number if layer_of_graph is None else layer_of_graph, site)

    @property
    def arguments(self) -> tuple[float, Tensor, int, Tensor | None, int]:
        """The same for torch.library, where an argument has one type."""
        layer = self.layer
        number, of_graph = (0, layer) if isinstance(layer, Tensor) else (int(layer), None)
        return float(self.probability), self.keys, number, of_graph, int(self.site)

    @property
    def of_kernel(self) -> tuple[Tensor | None, Tensor | None, int, int, int, float]:
        """The same for the launchers in `csrc`: keys, layer in device memory, layer, site, threshold and scale."""
        probability, keys, number, of_graph, site = self.arguments
        dropped = keys.contiguous() if probability > 0.0 else None
        return dropped, of_graph, number, site, threshold(probability), 1.0 / (1.0 - probability)
