"""Where results go: stdout as text, or a file of JSON lines; each is complete and flushed before the next is begun."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from megatron_bio.generation.errors import GenerationError
from megatron_bio.parallel.agreement import result_of_first_rank

Result = Mapping[str, Any]
Writer = Callable[[Result], None]


@contextmanager
def open_results(output: Path | None, total: int, as_text: Callable[[Result], str]) -> Iterator[Writer]:
    """Give a function that writes a result: as a line of the new file `output`, or as text on stdout. All ranks call it.

    Rank 0 writes, and shows on stderr, if that is a terminal, how many of `total` are done. Whatever ends the work, Ctrl-C too,
    the results written before stay; a file without any is removed. Raises `GenerationError` if the file is there already.
    """
    streams: list[TextIO] = []
    result_of_first_rank(lambda: streams.extend(_opened(output)))
    if dist.get_rank() != 0:
        yield lambda result: None
        return
    written = 0
    with ExitStack() as opened:
        stream = opened.enter_context(streams[0]) if streams else sys.stdout
        advance = opened.enter_context(_progress(total, to_terminal=output is None))

        def write(result: Result) -> None:
            nonlocal written
            line = json.dumps(result, ensure_ascii=False) if output else as_text(result)
            stream.write(f"{line}\n")
            stream.flush()
            written += 1
            advance()

        try:
            yield write
        finally:
            if output is not None and not written:
                output.unlink(missing_ok=True)
            elif output is not None:
                unfinished = "" if written == total else f" of {total:,}"
                print(f"Wrote {output}: {written:,}{unfinished} lines.", file=sys.stderr)


def _opened(output: Path | None) -> list[TextIO]:
    if output is None:
        return []
    try:
        # An id may hold half a character, \ud800; written so it is JSON too.
        return [output.open("x", encoding="utf-8", errors="backslashreplace")]
    except FileExistsError as error:
        raise GenerationError(
            f"--output {output}: expected a new file, found one that is there already; give another name or remove it."
        ) from error
    except OSError as error:
        raise GenerationError(
            f"--output {output}: expected a place to write a file to; found: {error.strerror}. Make its folder, or give another."
        ) from error


@contextmanager
def _progress(total: int, *, to_terminal: bool) -> Iterator[Callable[[], None]]:
    """Count on stderr if that is a terminal, and not where the texts themselves go to the same one."""
    if sys.stderr is None or not sys.stderr.isatty() or (to_terminal and sys.stdout.isatty()):
        yield lambda: None
        return
    columns = (TextColumn("texts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("texts", total=total)
        yield lambda: progress.advance(task)
