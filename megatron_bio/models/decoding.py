"""A GPT that goes on writing its rows: the logits of the next token, with the keys and values kept or computed anew.

Shapes: R rows, s new tokens of a row, T slots of the cache, n heads of this rank, D head dimension, V tokens.

A token's slot in the cache is its position in its row. Rows of different lengths therefore stand side by side without
padding before them: what lies behind a row's end is of a later position, which the causal mask hides, and the row's next
tokens overwrite it.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from megatron_bio.kernels.attention import AttentionPattern
from megatron_bio.kernels.rows_at import reference as rows_at
from megatron_bio.models.attention import SelfAttention
from megatron_bio.models.block import TransformerBlock
from megatron_bio.models.gpt import Gpt
from megatron_bio.models.heads import tied_logits
from megatron_bio.parallel import collectives


class Decoding(Protocol):
    """Rows that grow at their ends."""

    def extend(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """Append the first counts[r] of tokens[r] to each row and return float32 logits [R, V] of what comes next.

        `tokens` int64 [R, s], `counts` int64 [R], each at least 1. The logits are the same on every tp rank.
        """

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone, int64 [kept], in their order."""


class CachedDecoding:
    """Computes each token once: every layer keeps the keys and values of `slots` positions of each row."""

    def __init__(self, model: Gpt, rows: int, slots: int) -> None:
        first = next(iter(model.layers.values())).self_attention
        shape = (len(model.layers), 2, rows, slots, first.local_heads, first.head_size)
        self._model = model
        self._cache = torch.zeros(
            shape, dtype=model.tensor_parallel.compute_dtype, device=next(model.parameters()).device
        )
        self._lengths = torch.zeros(rows, dtype=torch.int64, device=self._cache.device)
        self._longest = 0

    @torch.no_grad()
    def extend(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """See `Decoding`."""
        model, width = self._model, tokens.shape[1]
        positions = self._lengths[:, None] + torch.arange(width, device=tokens.device)
        self._longest += width
        slots = torch.arange(self._longest, device=tokens.device)
        pattern = AttentionPattern(mask=(slots <= positions[:, :, None])[:, None])
        keys = torch.zeros_like(counts)
        x = model.embeddings(tokens, positions, None, keys)
        for block, cache in zip(model.layers.values(), self._cache, strict=True):
            x = self._through(block, x, cache, positions, pattern, keys)
        hidden = model.final_layernorm(x)
        self._lengths += counts
        return _next_logits(model, hidden, counts)

    def _through(
        self,
        block: nn.Module,
        x: Tensor,
        cache: Tensor,
        positions: Tensor,
        pattern: AttentionPattern,
        keys: Tensor,
    ) -> Tensor:
        """The block of training on new tokens x [s, R, H], which see the cache [2, R, T, n, D] too."""
        assert isinstance(block, TransformerBlock)
        attention: SelfAttention = block.self_attention
        query, *new = attention.project(block.input_layernorm(x))
        rows = torch.arange(positions.shape[0], device=positions.device)[:, None]
        for kept, states in zip(cache, new, strict=True):
            kept[rows, positions] = states.transpose(1, 2)
        key, value = cache[:, :, : self._longest].transpose(2, 3)
        attended = attention.combine(attention.attend(query, key, value, pattern, keys))
        x, normalised = block.add_attention(x, attended, keys)
        return block.add_mlp(x, block.mlp(normalised), keys)

    def keep(self, rows: Tensor) -> None:
        """See `Decoding`."""
        self._cache, self._lengths = self._cache[:, :, rows], self._lengths[rows]
        self._longest = int(self._lengths.max())


class RecomputedDecoding:
    """Computes the whole rows for each token by the forward of training: slow, with no memory of its own."""

    def __init__(self, model: Gpt, rows: int) -> None:
        self._model = model
        device = next(model.parameters()).device
        self._tokens = torch.zeros((rows, 0), dtype=torch.int64, device=device)
        self._lengths = torch.zeros(rows, dtype=torch.int64, device=device)

    @torch.no_grad()
    def extend(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """See `Decoding`."""
        columns = torch.arange(tokens.shape[1], device=tokens.device)
        lengths = self._lengths + counts
        grown = tokens.new_zeros((tokens.shape[0], int(lengths.max())))
        grown[:, : self._tokens.shape[1]] = self._tokens
        row, column = torch.nonzero(columns < counts[:, None], as_tuple=True)
        grown[row, self._lengths[row] + column] = tokens[row, column]
        self._tokens, self._lengths = grown, lengths
        positions = torch.arange(grown.shape[1], device=tokens.device).expand_as(grown)
        hidden = self._model.encode(grown, torch.ones_like(grown), positions, None, torch.zeros_like(counts))
        return _next_logits(self._model, hidden, lengths)

    def keep(self, rows: Tensor) -> None:
        """See `Decoding`."""
        self._lengths = self._lengths[rows]
        self._tokens = self._tokens[rows, : int(self._lengths.max())]


def whole_vocabulary(logits: Tensor, model: nn.Module) -> Tensor:
    """Gather logits [..., V / tp] of all tp ranks: float32 [..., V] of the real tokens, the same bits on every rank."""
    gathered = collectives.join(logits.movedim(-1, 0), model.tensor_parallel.mesh.get_group())
    return gathered.movedim(0, -1)[..., : model.vocab_size].float()


def _next_logits(model: Gpt, hidden: Tensor, counts: Tensor) -> Tensor:
    """Hidden states [s, R, H] -> logits [R, V] at the last of counts[r] positions of each row."""
    last = rows_at(hidden, counts[:, None] - 1)[:, 0]
    return whole_vocabulary(tied_logits(last, model.embeddings.word_embeddings), model)
