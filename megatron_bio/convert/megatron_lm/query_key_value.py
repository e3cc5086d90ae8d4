"""How the rows of the fused weight of queries, keys and values are ordered within each tensor-parallel rank.

n heads of the rank, D head dimension. Ours is that of version 2 and on, so nothing moves there. Source: Megatron-LM,
checkpointing.py, `fix_query_key_value_ordering`.
"""

from torch import Tensor

ORDERS = ("3, heads, head size", "heads, head size, 3", "heads, 3, head size")
"""By checkpoint version: 0, 1, and 2 with all later ones."""


def order_of(version: float) -> str:
    """Return the order of a checkpoint version."""
    return ORDERS[min(int(version), 2)]


def to_by_head(tensor: Tensor, order: str, heads: int) -> Tensor:
    """Rows of any order -> rows [n, 3, D]; tensor [n 3 D, ...]."""
    if order == ORDERS[2]:
        return tensor
    rest = tensor.shape[1:]
    if order == ORDERS[0]:
        return tensor.reshape(3, heads, -1, *rest).transpose(0, 1).reshape(tensor.shape)
    return tensor.reshape(heads, -1, 3, *rest).transpose(1, 2).reshape(tensor.shape)


def from_by_head(tensor: Tensor, order: str, heads: int) -> Tensor:
    """Rows [n, 3, D] -> rows of any order; tensor [n 3 D, ...]."""
    if order == ORDERS[2]:
        return tensor
    by_head = tensor.reshape(heads, 3, -1, *tensor.shape[1:])
    moved = by_head.transpose(0, 1) if order == ORDERS[0] else by_head.transpose(1, 2)
    return moved.reshape(tensor.shape)
