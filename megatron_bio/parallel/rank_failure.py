"""Of several ranks that end together, the one that failed first is heard, and the others are short."""

import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from megatron_bio.config.errors import REFUSALS, LostRankError, RankFailedError, UserError

_ENDED = (
    *("Connection closed by peer", "Connection reset by peer", "Connection refused", "Broken pipe"),
    *("Application timeout caused pair closure", "remote process exited or there was a network error"),
    "failed to recv, got 0 bytes",
)
"""What gloo, NCCL and torch's store say when the process at the other end is gone."""
_SILENT = ("Timed out waiting", "Socket Timeout", "wait timeout after")
"""What they say when it does not answer."""
_LOOK = "look for the message of that rank or of its machine."


@contextmanager
def told_by_rank(rank: int, ranks: int) -> Iterator[None]:
    """Tell the exception that ends one of several ranks on stderr, with its number and before anything is torn down.

    Raises `RankFailedError` for an exception that was told so and `LostRankError` for one that only says that another
    rank is gone. What the command line tells in a message of its own is left to it: a `UserError`, or a file that the
    system refused.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if ranks == 1 or (isinstance(error, OSError) and error.errno in REFUSALS):
            raise
        if reason := lost_rank(error):
            raise LostRankError(reason) from error
        head = f"rank {rank} of {ranks} failed ({socket.gethostname()}, process {os.getpid()}):\n"
        text = head + "".join(traceback.format_exception(error))
        os.write(2, text.encode(errors="backslashreplace"))
        raise RankFailedError(f"rank {rank} of {ranks} failed: {type(error).__name__}: {error}") from error


def lost_rank(error: BaseException) -> str | None:
    """Return what to say of an exception that only means that another rank is missing; None for any other exception.

    gloo raises plain RuntimeErrors, NCCL and the store subclasses of it, so their words have to tell; a pipeline schedule wraps
    them in an exception of its own, so the causes count too.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RuntimeError):
            text = str(cause)
            if any(words in text for words in _ENDED):
                return f"another rank ended first, so this one ends too; {_LOOK}"
            if any(words in text for words in _SILENT):
                return f"another rank did not answer in time, so this one ends; {_LOOK}"
        cause = cause.__cause__
    return None
