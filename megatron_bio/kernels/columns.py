"""How many strips of rows the kernels cut a matrix into when they sum its columns.

The strips' sums are float32 and are added in a second pass. The number depends on the shape alone, so the sums are the same
bits every time.
"""

import torch
from torch import Tensor

_BLOCKS = 1024
"""Enough to fill the largest GPUs, few enough that the strips' sums are small beside the matrix. Not measured."""
TILE_ROWS, _TILE_COLUMNS = 8, 256
"""Rows and 16-bit columns of a block, as in `csrc/columns.cuh`."""
MOST_STRIPS = 512


def strips(rows: int, columns: int) -> int:
    """Return the strips of a matrix that is read in tiles."""
    beside = -(-columns // _TILE_COLUMNS)
    return max(1, min(-(-rows // TILE_ROWS), -(-_BLOCKS // beside), MOST_STRIPS))


def row_blocks(rows: int) -> int:
    """Return the blocks among which rows are dealt when a block reads whole rows."""
    return max(1, min(rows, MOST_STRIPS))


def partial_sums(count: int, columns: int, like: Tensor) -> Tensor:
    """Return room for the strips' sums, float32 [count, columns]."""
    return torch.empty(count, columns, dtype=torch.float32, device=like.device)
