"""Doing something once for all ranks, so that its failure is every rank's failure and none waits for another."""

from collections.abc import Callable

import torch.distributed as dist


def failure_on_first_rank(action: Callable[[], None]) -> str | None:
    """Run `action` on rank 0 and return, on every rank, what went wrong: the text of its OSError, or None."""
    failure: list[str | None] = [None]
    if dist.get_rank() == 0:
        try:
            action()
        except OSError as error:
            failure = [str(error)]
    dist.broadcast_object_list(failure, src=0)
    return failure[0]
