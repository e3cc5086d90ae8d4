"""Preparing the next batches while the current one is computed."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Yield `items` in order while one thread prepares up to `depth` of them ahead, from the first `next` on.

    An exception of `items` appears here, at the item that raised it. Leaving the loop early, or closing this iterator,
    ends the thread after the item that it is at. numpy releases the interpreter lock in most of the work, and so does
    the device that computes.
    """
    assert depth >= 1, f"a prefetcher of depth {depth} prepares nothing"
    source = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
        waiting: deque[Future[list[Item]]] = deque()
        try:
            for _ in range(depth):
                waiting.append(thread.submit(_next_or_none, source))
            while item := waiting.popleft().result():
                waiting.append(thread.submit(_next_or_none, source))
                yield item[0]
        finally:
            for future in waiting:
                future.cancel()


def _next_or_none(source: Iterator[Item]) -> list[Item]:
    """Return the next item in a list, or an empty one at the end: a future cannot carry StopIteration."""
    return [item for _, item in zip(range(1), source, strict=False)]
