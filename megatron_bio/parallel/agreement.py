"""Doing something on some ranks, so that its failure is every rank's failure and none waits for another.

Such a failure is an `OSError`: a full disk, a file that is not allowed. Any other exception is a mistake in the program and is
raised on its own rank alone, for a save in the background when it is waited for. `told_by_rank` writes its traceback and the rank
ends; gloo, which carries the agreement on GPUs too, then tells the others that the connection is closed, and they end as
`LostRankError`.

`group` holds all ranks; None is the default group, which the training's thread alone may use.
"""

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

from megatron_bio.config.errors import UserError

Result = TypeVar("Result")


def failure_on_first_rank(action: Callable[[], None], group: dist.ProcessGroup | None = None) -> str | None:
    """Run `action` on rank 0 and return, on every rank, what went wrong: the text of its OSError, or None."""
    failure: list[str | None] = [None]
    if dist.get_rank() == 0:
        failure = [_failure(action)]
    dist.broadcast_object_list(failure, src=0, group=group)
    return failure[0]


def result_of_first_rank(action: Callable[[], Result]) -> Result:
    """Run `action` on rank 0 and return its result on every rank; a `UserError` that it raises is raised on every rank."""
    outcome: list[Result | UserError | None] = [None]
    if dist.get_rank() == 0:
        try:
            outcome = [action()]
        except UserError as error:
            outcome = [error]
    dist.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], UserError):
        raise outcome[0]
    return outcome[0]  # type: ignore[return-value]


def failure_on_any_rank(action: Callable[[], None], group: dist.ProcessGroup | None = None) -> str | None:
    """Run `action` on every rank and return, on every rank, what went wrong: the texts of the OSErrors, or None."""
    failures: list[str | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(failures, _failure(action), group=group)
    return "; ".join(f"rank {rank}: {text}" for rank, text in enumerate(failures) if text) or None


def _failure(action: Callable[[], None]) -> str | None:
    try:
        action()
    except OSError as error:
        return str(error)
    return None
