"""The prefetcher keeps order, runs ahead by its depth, hands errors on and leaves no thread behind."""

import threading
import time
from collections.abc import Iterator

import pytest

from megatron_bio.data.prefetch import prefetch


def prefetch_threads() -> int:
    return sum(thread.name.startswith("prefetch") for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 2, 10])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_come_in_order(depth: int, count: int) -> None:
    assert list(prefetch(range(count), depth)) == list(range(count))
    assert prefetch_threads() == 0


def test_items_that_are_false_are_items() -> None:
    assert list(prefetch([0, None, [], ""], 2)) == [0, None, [], ""]


def test_runs_ahead_by_its_depth_and_no_further() -> None:
    made: list[int] = []
    prepared = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            prepared.release()
            yield number

    ahead = prefetch(items(), 3)
    for taken in range(3):
        assert next(ahead) == taken
        for _ in range(4 if taken == 0 else 1):
            assert prepared.acquire(timeout=5), "three items are prepared while one is used"
        time.sleep(0.02)
        assert made == list(range(taken + 4))
    ahead.close()


def test_an_error_appears_at_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk gone")

    ahead = prefetch(items(), 3)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(ahead)
    assert prefetch_threads() == 0


def test_leaving_early_finishes_the_item_in_work_and_ends_the_thread() -> None:
    made: list[int] = []
    started, release = threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        yield 0
        while True:
            started.set()
            release.wait(5)
            made.append(len(made) + 1)
            yield made[-1]

    ahead = prefetch(endless(), 4)
    assert next(ahead) == 0 and started.wait(5)
    threading.Timer(0.3, release.set).start()
    ahead.close()
    assert made == [1]
    assert prefetch_threads() == 0
