"""Sum of word, position and, for BERT, token-type embeddings: one row of each of two or three tables, added.

ids int64 [R, S] and a table [rows, H] each, the tables float32 or in the dtype of the sum -> [S, R, H], contiguous.
torch raises at an id that a table does not have. The kernel cannot raise: it reads nothing, its sum is NaN, and so the loss is.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.kernels.columns import strips
from megatron_bio.kernels.library import Library, cuda_library, require_alike

MOST_TABLES = 3
CHUNK = 32
"""Entries that one thread adds up in the backward, as in `csrc/embedding_sum.cu`."""


def reference(ids: Sequence[Tensor], tables: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Look up and add: the definition."""
    found = [
        F.embedding(numbers.transpose(0, 1), table).to(dtype)
        for numbers, table in zip(ids, tables, strict=True)
    ]
    total = found[0]
    for other in found[1:]:
        total = total + other
    return total


def embedding_sum(ids: Sequence[Tensor], tables: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Do the same, on CUDA by the kernel, which takes every shape."""
    return _forward(list(ids), list(tables), dtype)


def launch_forward(
    library: Library, ids: Sequence[Tensor], tables: Sequence[Tensor], dtype: torch.dtype
) -> Tensor:
    """Return the sum [S, R, H]."""
    assert 2 <= len(ids) == len(tables) <= MOST_TABLES, f"{len(ids)} ids and {len(tables)} tables"
    samples, positions = ids[0].shape
    columns = tables[0].shape[1]
    _require_ids(ids, samples, positions, tables[0].device)
    require_alike(*tables)
    assert all(table.shape[1] == columns for table in tables), [tuple(table.shape) for table in tables]
    ids, tables = [numbers.contiguous() for numbers in ids], [table.contiguous() for table in tables]
    y = tables[0].new_empty(positions, samples, columns, dtype=dtype)
    if y.numel():
        rows = [table.shape[0] for table in tables]
        sizes = (positions, samples, columns, strips(positions * samples, columns))
        arguments = (*_padded(ids, None), *_padded(tables, None), y, *_padded(rows, 0), *sizes)
        library.launch("embedding_sum_forward", *arguments, tables[0].dtype, dtype)
    return y


def launch_backward(
    library: Library, gradient: Tensor, ids: Sequence[Tensor], rows: Sequence[int], dtype: torch.dtype
) -> list[Tensor]:
    """Return the gradients of the tables, which have so many rows and this dtype; each sum is in the order of the sequence."""
    gradient = gradient.contiguous()
    positions, samples, columns = gradient.shape
    _require_ids(ids, samples, positions, gradient.device)
    found = [gradient.new_zeros(count, columns, dtype=dtype) for count in rows]
    if gradient.numel():
        count = positions * samples
        entries = count * len(ids)
        starts = accumulate(rows[:-1], initial=0)
        keys = [numbers.transpose(0, 1).flatten() + start for numbers, start in zip(ids, starts, strict=True)]
        ordered, order = torch.sort(torch.cat(keys), stable=True)
        partial = torch.empty(2, -(-entries // CHUNK), columns, dtype=torch.float32, device=gradient.device)
        arguments = (gradient, ordered, order, *_padded(found, None), partial, *_padded(rows, 0))
        library.launch("embedding_sum_backward", *arguments, count, entries, columns, dtype, gradient.dtype)
    return found


def _padded(values: Sequence[Any], nothing: Any) -> list[Any]:
    return [*values, *[nothing] * (MOST_TABLES - len(values))]


def _require_ids(ids: Sequence[Tensor], samples: int, positions: int, device: torch.device) -> None:
    for numbers in ids:
        assert numbers.shape == (samples, positions), f"ids {numbers.shape}, not [{samples}, {positions}]"
        assert numbers.dtype == torch.int64 and numbers.device == device, (
            f"ids are {numbers.dtype} on {numbers.device}, not int64 on {device}"
        )


@torch.library.custom_op("megatron_bio::embedding_sum", mutates_args=(), device_types="cpu")
def _forward(ids: list[Tensor], tables: list[Tensor], dtype: torch.dtype) -> Tensor:
    return reference(ids, tables, dtype).contiguous()


@_forward.register_kernel("cuda")
def _(ids: list[Tensor], tables: list[Tensor], dtype: torch.dtype) -> Tensor:
    return launch_forward(cuda_library(), ids, tables, dtype)


@_forward.register_fake
def _(ids: list[Tensor], tables: list[Tensor], dtype: torch.dtype) -> Tensor:
    samples, positions = ids[0].shape
    return tables[0].new_empty(positions, samples, tables[0].shape[1], dtype=dtype)


@torch.library.custom_op("megatron_bio::embedding_sum_backward", mutates_args=(), device_types="cpu")
def _backward(gradient: Tensor, ids: list[Tensor], rows: list[int], dtype: torch.dtype) -> list[Tensor]:
    wide = gradient.to(torch.promote_types(dtype, torch.float32)).flatten(0, 1)
    return [
        wide.new_zeros(count, wide.shape[1]).index_add_(0, numbers.transpose(0, 1).flatten(), wide).to(dtype)
        for numbers, count in zip(ids, rows, strict=True)
    ]


@_backward.register_kernel("cuda")
def _(gradient: Tensor, ids: list[Tensor], rows: list[int], dtype: torch.dtype) -> list[Tensor]:
    return launch_backward(cuda_library(), gradient, ids, rows, dtype)


@_backward.register_fake
def _(gradient: Tensor, ids: list[Tensor], rows: list[int], dtype: torch.dtype) -> list[Tensor]:
    return [gradient.new_empty(count, gradient.shape[-1], dtype=dtype) for count in rows]


def _keep(
    ctx: torch.autograd.function.FunctionCtx,
    inputs: tuple[list[Tensor], list[Tensor], torch.dtype],
    output: Tensor,
) -> None:
    ids, tables, _ = inputs
    ctx.save_for_backward(*ids)
    ctx.rows, ctx.dtype = [table.shape[0] for table in tables], tables[0].dtype


def _gradients(
    ctx: torch.autograd.function.FunctionCtx, gradient: Tensor
) -> tuple[list[None], list[Tensor], None]:
    ids = list(ctx.saved_tensors)
    return [None] * len(ids), _backward(gradient, ids, ctx.rows, ctx.dtype), None


_forward.register_autograd(_gradients, setup_context=_keep)
