"""Scaled dot-product attention inside the samples of a packed row.

Shapes: R rows, S sequence, n heads of this rank, D head dimension.

Without dropout on the probabilities torch's variable-length flash attention runs where it can (`kernels.variable_length`), and
`scaled_dot_product_attention` with a mask elsewhere; with dropout, or when asked, the explicit softmax path does, because
torch's dropout takes no counter and would not be the same at every layout.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.kernels.dropout import DropoutPlace, attention_dropout
from megatron_bio.kernels.softmax_dropout import softmax_dropout
from megatron_bio.kernels.variable_length import sequence_boundaries, variable_length_attention


@dataclass(frozen=True)
class AttentionDropout:
    """Where in the run the probabilities are dropped, and by what."""

    place: DropoutPlace
    first_head: int
    """The number of this rank's first head."""
    fused: bool = False
    """Whether scale, mask, softmax and dropout are one operation, `kernels.softmax_dropout`."""


@dataclass(frozen=True)
class AttentionPattern:
    """Which keys each query sees, said in one of two ways."""

    mask: Tensor | None = None
    """bool [R, 1, Q, S], True where a query (dim 2) may see a key (dim 3)."""
    boundaries: Tensor | None = None
    """int32 [R * K + 1] from `sequence_boundaries`: queries see the keys of their own sequence."""
    causal: bool = False
    """With `boundaries`: and of those only their own and the ones before."""


def attention_pattern(segment_ids: Tensor, causal: bool, sequences_per_row: int) -> AttentionPattern:
    """Return who sees whom in rows with these segment ids [R, S].

    With `sequences_per_row` above 0 as boundaries with room for so many in each row, otherwise as a mask.
    """
    if sequences_per_row:
        return AttentionPattern(boundaries=sequence_boundaries(segment_ids, sequences_per_row), causal=causal)
    return AttentionPattern(mask=attention_mask(segment_ids, causal))


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
    query: Tensor,
    key: Tensor,
    value: Tensor,
    pattern: AttentionPattern,
    dropout: AttentionDropout | None,
) -> Tensor:
    """Attend: query, key, value [R, n, S, D] -> [R, n, S, D]."""
    dropped = dropout is not None and dropout.place.probability > 0.0
    if pattern.boundaries is not None:
        assert not dropped, "variable-length attention has no dropout"
        return variable_length_attention(query, key, value, pattern.boundaries, pattern.causal)
    mask = pattern.mask
    assert mask is not None, "a pattern has a mask or boundaries"
    if dropout is None or not dropped:
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
