"""How much of the held-out files is done, on stderr, only when stderr is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def held_out_progress(total: int, enabled: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that is told the bytes done so far, of `total`."""
    if not enabled or sys.stderr is None or not sys.stderr.isatty():
        yield lambda done: None
        return
    columns = (TextColumn("held-out text"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("held-out text", total=total)
        yield lambda done: progress.update(task, completed=done)
