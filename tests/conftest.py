"""Fixtures of all tests, and how they are dealt to the processes of pytest-xdist."""

import fcntl
import os
import signal
from collections.abc import Iterator

import pytest

from tests.distributed.pool import Pool


def pytest_configure() -> None:
    """Take Ctrl-C, also where a shell started the tests in the background: processes inherit that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Gloo workers shared by all distributed tests."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "pool.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail("two processes want the pool of ranks: the groups of pytest-xdist have no effect")
        workers = Pool()
        yield workers
        workers.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One process has all tests of the pool, so that there is one pool; of the others each file stays together."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        group = "pool" if "pool" in getattr(item, "fixturenames", ()) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
