"""From logits to the next token: temperature, top-k, top-p, and a draw that is a pure function.

Shapes: R rows, V tokens. Sources: top-k, Fan et al. (arXiv 1805.04833); top-p, Holtzman et al. (arXiv 1904.09751). The filters
follow one another in this order, as in transformers: temperature, top-k, top-p.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

_BITS = 48
"""Of a draw; few enough that u x total < total whatever the rounding."""


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen."""

    temperature: float
    """0 takes the likeliest."""
    top_k: int
    """0 draws among all tokens."""
    top_p: float
    seed: int


def next_tokens(logits: Tensor, sampling: Sampling, draws: list[float]) -> Tensor:
    """Choose a token for each row: logits float32 [R, V], draws in [0, 1) of the rows -> int64 [R].

    Row r gets the first token at which the cumulated probability, in order of ids, exceeds draws[r].
    """
    if sampling.temperature == 0.0:
        return logits.argmax(-1)
    cumulated = probabilities(logits, sampling).double().cumsum(-1)
    drawn = torch.tensor(draws, dtype=torch.float64, device=logits.device)
    limits = drawn[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, limits, right=True)[:, 0]


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return the probabilities to draw with, float32 [R, V]; those of tokens that a filter drops are 0."""
    # The largest becomes 0 first: a small temperature would make it infinite, and probabilities of these are no numbers.
    logits = logits - logits.amax(-1, keepdim=True)
    logits = logits / max(sampling.temperature, torch.finfo(logits.dtype).tiny)
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if sampling.top_p < 1.0:
        ordered, order = logits.sort(-1, descending=True)
        likely = ordered.softmax(-1)
        # A token stays while those before it have less than top_p together; the first always does.
        before = likely.cumsum(-1) - likely
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= sampling.top_p)
        logits = logits.masked_fill(dropped, float("-inf"))
    return logits.softmax(-1)


def draw(seed: int, prompt: int, sample: int, position: int) -> float:
    """Return a number in [0, 1): the same for the same place of a text, whatever else is computed beside it."""
    digest = hashlib.sha256(f"{seed}:{prompt}:{sample}:{position}".encode()).digest()
    return (int.from_bytes(digest[:8], "little") >> (64 - _BITS)) / (1 << _BITS)
