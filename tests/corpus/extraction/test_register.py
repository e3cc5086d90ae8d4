"""The table of keys and versions: what counts, and how much memory it takes."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_bio.corpus.extraction.register import LARGEST_VERSION, PAGE_SIZE, Register


def test_needs_eight_bytes_per_key() -> None:
    register = Register()
    for pmid in range(1_000_000):
        register.put(pmid, 1, 2 * pmid)
    assert sum(page.itemsize * len(page) for page in register._highest.values()) < 8 * (1_000_000 + PAGE_SIZE)
    assert not register._chains and not register._entries
    assert register.current(0) == 0 and register.current(999_999) == 1_999_998
    assert register.current(5_000_000) is None


def test_equals_a_plain_dictionary() -> None:
    chance = random.Random(0)
    register = Register()
    plain: dict[int, dict[int, int]] = {}
    for position in range(30_000):
        key, version = (
            chance.choice([3, 4, 70_000, 10**10]) + chance.randrange(40),
            chance.choice([1, 1, 1, 2, 3, 7]),
        )
        what = chance.random()
        if what < 0.7:
            register.put(key, version, position)
            plain.setdefault(key, {})[version] = position
        elif what < 0.95:
            register.remove(key, version)
            plain.get(key, {}).pop(version, None)
        else:
            register.remove(key, None)
            plain.pop(key, None)
        expected = plain.get(key)
        assert register.current(key) == (expected[max(expected)] if expected else None)
    for key, versions in plain.items():
        assert register.current(key) == (versions[max(versions)] if versions else None)


def test_places_of_removed_versions_are_used_again() -> None:
    register = Register()
    register.put(1, 1, 0)
    for position in range(1, 1000):
        register.put(1, 2, position)
        register.remove(1, 2)
    assert len(register._entries) == 1


def test_the_largest_version_and_position() -> None:
    register = Register()
    register.put(1, 99_999, 5)
    register.put(1, LARGEST_VERSION, 2**45)
    register.put(1, 10**9, 2**45 + 1)
    assert register.current(1) == 2**45 + 1
    register.remove(1, 10**9)
    assert register.current(1) == 5


MEMORY = """
import sys
from megatron_bio.corpus.extraction.register import Register
register = Register()
keys = range(1, 40_000_001)
for version in map(int, sys.argv[1].split()):
    put = register.put
    for key in keys:
        put(key, version, key)
assert register.current(40_000_000) == 40_000_000 and register.current(1) == 1
# Of this process alone, where ru_maxrss may be that of the tests before it.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux has it")
@pytest.mark.parametrize("versions", ["1", "2", "1 2"])
def test_forty_million_keys_in_two_gigabytes(versions: str) -> None:
    """Each with one version, and each with two that may both come to count."""
    command = [sys.executable, "-c", MEMORY, versions]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert int(result.stdout) < 2000
