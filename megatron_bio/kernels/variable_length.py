"""Attention over sequences that lie one behind the other, by torch's variable-length flash attention.

Shapes: R rows, S sequence, K sequences that a row has room for, n heads of this rank, D head dimension.

Scores between samples of a row are not computed, so a row costs what its samples cost. The kernel runs on CUDA devices, in 16
bits, without dropout. Source: Dao, arXiv 2307.08691; torch.nn.attention.varlen.
"""

import inspect

import torch
from torch import Tensor

_LARGEST_HEAD, _HEAD_MULTIPLE = 256, 8
_LEAST_CAPABILITY = (8, 0)
# torch 2.10 says causal by an argument of its own, later ones by a window of no keys to the right.
_CAUSAL = {"window_size": (-1, 0)} if torch.__version__ >= (2, 11) else {"is_causal": True}


def sequence_boundaries(segment_ids: Tensor, sequences_per_row: int) -> Tensor:
    """Return where the sequences of a batch begin and end, int32 [R * K + 1], without a look at the device from the host.

    segment_ids [R, S]: neighbours in a row with the same number are one sequence, those with 0, the padding, too. With the rows
    laid end to end sequence i is positions b[i] to b[i + 1] - 1; those that the batch lacks are empty and at the end. The
    length depends on the shape alone. More than R * K sequences in the batch are an error of the device: RuntimeError on a
    CPU, a failed assertion on CUDA.
    """
    rows, length = segment_ids.shape
    begins = torch.ones_like(segment_ids, dtype=torch.bool)
    begins[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    begun = begins.flatten().cumsum(0, dtype=torch.int32)
    numbers = torch.arange(1, rows * sequences_per_row + 2, dtype=torch.int32, device=begun.device)
    # Sequence i begins where i + 1 of them have begun for the first time; where there are not so many that is R * S.
    boundaries = torch.searchsorted(begun, numbers, out_int32=True)
    # Private to torch, and its only check that does not make the host wait.
    torch._assert_async(
        boundaries[-1] == rows * length,
        f"rows hold more than the {sequences_per_row} sequences that variable-length attention has room for",
    )
    return boundaries


def variable_length_attention(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, causal: bool
) -> Tensor:
    """Attend inside each sequence: query, key, value [R, n, S, D], boundaries int32 [R * K + 1] -> [R, n, S, D]."""
    # Here, because it loads torch's compiler.
    from torch.nn.attention.varlen import varlen_attn

    rows, heads, length, size = query.shape
    query, key, value = (
        tensor.transpose(1, 2).reshape(rows * length, heads, size) for tensor in (query, key, value)
    )
    context = varlen_attn(
        query, key, value, boundaries, boundaries, length, length, **(_CAUSAL if causal else {})
    )
    return context.view(rows, length, heads, size).transpose(1, 2)


def obstacle_of_machine(device: str) -> str:
    """Return why `variable_length_attention` cannot run on `device` (cpu or cuda); empty if it can."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return f"torch {torch.__version__} has no torch.nn.attention.varlen"
    if not _CAUSAL.keys() <= inspect.signature(varlen_attn).parameters.keys():
        return f"varlen_attn of torch {torch.__version__} does not take {', '.join(_CAUSAL)}"
    if device != "cuda":
        return f"it runs on CUDA devices, and this is {device}"
    if not torch.backends.cuda.is_flash_attention_available():
        return f"torch {torch.__version__} was built without flash attention"
    capability = torch.cuda.get_device_capability()
    if capability < _LEAST_CAPABILITY:
        least, found = (".".join(map(str, numbers)) for numbers in (_LEAST_CAPABILITY, capability))
        return f"it needs compute capability {least}, and the device has {found}"
    return ""


def obstacle_of_model(dtype: torch.dtype, head_size: int, dropout: float) -> str:
    """Return why it cannot compute the attention of a model; empty if it can."""
    if dropout > 0.0:
        return f"it has no dropout, and attention dropout is {dropout:g}"
    if dtype not in (torch.bfloat16, torch.float16):
        return f"it computes in bfloat16 and float16, and this is {str(dtype).removeprefix('torch.')}"
    if head_size % _HEAD_MULTIPLE or head_size > _LARGEST_HEAD:
        return f"it takes heads whose size is a multiple of {_HEAD_MULTIPLE} up to {_LARGEST_HEAD}, and this is {head_size}"
    return ""
