"""Scaled dot-product attention inside the samples of a packed row.

Shapes: R rows, S sequence, n heads of this rank, D head dimension.

Without dropout on the probabilities torch's `scaled_dot_product_attention` runs; with it, or when asked, the explicit
softmax path does, because torch's dropout takes no counter and would not be the same at every layout.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.kernels.dropout import DropoutPlace, attention_dropout
from megatron_bio.kernels.softmax_dropout import softmax_dropout


@dataclass(frozen=True)
class AttentionDropout:
    """Where in the run the probabilities are dropped, and by what."""

    place: DropoutPlace
    first_head: int
    """The number of this rank's first head."""
    fused: bool = False
    """Whether scale, mask, softmax and dropout are one operation, `kernels.softmax_dropout`."""


def attention_mask(segment_ids: Tensor, causal: bool) -> Tensor:
    """Return the bool mask [R, 1, S, S], True where a query (dim 2) may see a key (dim 3).

    A position sees its own segment; padding (segment 0) sees padding, so that no row of the softmax is empty.
    """
    mask = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    if causal:
        length = segment_ids.shape[1]
        mask = mask & torch.ones(length, length, dtype=torch.bool, device=segment_ids.device).tril()
    return mask


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: AttentionDropout | None
) -> Tensor:
    """Attend: query, key, value [R, n, S, D], mask bool [R, 1, S, S] -> [R, n, S, D]."""
    if dropout is None or dropout.place.probability == 0.0:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    place, scores = dropout.place, query @ key.transpose(-1, -2)
    if dropout.fused:
        scale = 1.0 / math.sqrt(query.shape[-1])
        return softmax_dropout(scores, mask, scale, place, dropout.first_head) @ value
    scores = scores / math.sqrt(query.shape[-1])
    probabilities = scores.float().masked_fill(~mask, float("-inf")).softmax(dim=-1).to(value.dtype)
    probabilities = attention_dropout(
        probabilities,
        place.probability,
        place.keys,
        layer=place.layer,
        site=place.site,
        first_head=dropout.first_head,
    )
    return probabilities @ value
