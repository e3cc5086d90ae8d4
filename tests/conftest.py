"""Fixtures of all tests."""

from collections.abc import Iterator

import pytest

from tests.distributed.pool import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Gloo workers shared by all distributed tests."""
    workers = Pool()
    yield workers
    workers.close()
