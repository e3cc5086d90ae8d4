"""The tokens on which two checkpoints are compared, and what each computes of them, by name.

Shapes: R rows, S sequence, H hidden, V tokens, N real positions of all rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from megatron_bio.config.model import ModelConfig

Trace = dict[str, Tensor]
"""`embeddings`, `layers.0` …, `final_layernorm` (pre-LN only): hidden states [N, H]; `logits` [N, V]; `order_logits` [R, 2].

In the order of the computation. A model without a head has none of its logits."""
EMBEDDINGS, FINAL_LAYERNORM, LOGITS, ORDER_LOGITS = "embeddings", "final_layernorm", "logits", "order_logits"

_ROWS = 3
_LENGTH = 64


@dataclass(frozen=True)
class Probe:
    """Rows of random tokens of the vocabulary, the later ones shorter, padded to one length."""

    tokens: Tensor
    """int64 [R, S]."""
    segment_ids: Tensor
    """int64 [R, S]: 1 on tokens, 0 on padding."""
    position_ids: Tensor
    """int64 [R, S]: from 0 on, but in one row up to the last position."""
    tokentype_ids: Tensor
    """int64 [R, S]: 0, then 1 from half of the row on."""

    @property
    def real(self) -> Tensor:
        """Bool [R, S]: what is no padding."""
        return self.segment_ids.bool()


def layer_name(layer: int) -> str:
    """Return the name of a layer's output in a trace."""
    return f"layers.{layer}"


def make_probe(config: ModelConfig) -> Probe:
    """Draw the rows; the same for the same sizes."""
    assert config.vocab_size is not None, "a checkpoint's configuration has the size of its vocabulary"
    reach = config.max_position_embeddings
    length = min(_LENGTH, reach)
    generator = torch.Generator().manual_seed(1234)
    tokens = torch.randint(config.vocab_size, (_ROWS, length), generator=generator)
    column = torch.arange(length).expand(_ROWS, length)
    lengths = torch.tensor([max(1, length // (row + 1)) for row in range(_ROWS)])[:, None]
    firsts = torch.tensor([0, reach - length, 0])[:, None]
    return Probe(
        tokens=tokens,
        segment_ids=(column < lengths).long(),
        position_ids=column + firsts,
        tokentype_ids=(column >= lengths // 2).long(),
    )
