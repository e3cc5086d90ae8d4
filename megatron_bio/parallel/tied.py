"""One table on two pipeline stages: input embeddings on the first, output layer on the last.

Both ranks add both gradients, so that both make the same step and the copies stay the same bits. Source: Megatron-LM,
Narayanan et al., arXiv 2104.04473 (embedding all-reduce).
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from megatron_bio.parallel.buckets import local_gradient


def sum_tied_gradients(table: nn.Parameter | None, copy: nn.Parameter | None, pp_mesh: DeviceMesh) -> None:
    """Replace the gradients of a table (first stage) and of its copy (last stage) by their sum.

    Each is None where it is not held. Call it after the data-parallel reduction. Where one rank holds both nothing is sent;
    otherwise the first and the last rank of the pp axis exchange their local gradients.
    """
    grads = [local_gradient(parameter) for parameter in (table, copy) if parameter is not None]
    if pp_mesh.size() == 1 or not grads:
        return
    if len(grads) == 2:
        total = grads[0] + grads[1]
        for grad in grads:
            grad.copy_(total)
        return
    grads[0].add_(_exchange(grads[0], pp_mesh))


def copy_tied_values(source: Tensor, target: Tensor) -> None:
    """Give `target` the values of `source`; both are on this rank and split alike."""
    with torch.no_grad():
        target.to_local().copy_(source.to_local())


def _exchange(own: Tensor, pp_mesh: DeviceMesh) -> Tensor:
    group, last = pp_mesh.get_group(), pp_mesh.size() - 1
    peer = dist.get_global_rank(group, last - pp_mesh.get_local_rank())
    other = torch.empty_like(own)
    operations = [
        dist.P2POp(dist.isend, own.contiguous(), peer, group),
        dist.P2POp(dist.irecv, other, peer, group),
    ]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    return other
