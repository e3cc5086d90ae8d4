"""A progress bar in bytes on stderr, only when stderr is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STEP_BYTES = 1 << 18


@contextmanager
def byte_progress(title: str, total: int, enabled: bool) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told the bytes done so far; it costs nothing to call often."""
    if not enabled or sys.stderr is None or not sys.stderr.isatty():
        yield lambda done: None
        return
    # Only a terminal needs them, and they take longer to load than a small file to read.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        shown = 0

        def show(done: int) -> None:
            nonlocal shown
            if done - shown >= STEP_BYTES or done >= total:
                shown = done
                progress.update(task, completed=done)

        yield show
