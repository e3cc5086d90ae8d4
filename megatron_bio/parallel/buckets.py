"""Many small gradients in few messages."""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

BUCKET_ELEMENTS = 32 * 1024 * 1024
"""Elements of a float32 bucket: large enough for full bandwidth, small beside the gradients themselves."""


def local_gradient(parameter: nn.Parameter) -> Tensor:
    """Return this rank's part of a gradient as a plain tensor that shares its memory."""
    grad = parameter.grad
    return grad.to_local() if isinstance(grad, DTensor) else grad


def local_gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the local gradients of all parameters that have one."""
    return [local_gradient(parameter) for parameter in parameters if parameter.grad is not None]


def all_reduce_in_buckets(tensors: Sequence[Tensor], group: dist.ProcessGroup) -> None:
    """Replace each tensor by its sum over the group, computed in float32; all ranks pass tensors of the same sizes."""
    for part in _buckets(tensors):
        bucket = torch.cat([tensor.reshape(-1).float() for tensor in part])
        dist.all_reduce(bucket, group=group)
        for tensor, total in zip(part, bucket.split([tensor.numel() for tensor in part]), strict=True):
            tensor.copy_(total.view_as(tensor))


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    part: list[Tensor] = []
    for tensor in tensors:
        if part and sum(one.numel() for one in part) + tensor.numel() > BUCKET_ELEMENTS:
            yield part
            part = []
        part.append(tensor)
    if part:
        yield part
