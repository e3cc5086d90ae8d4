"""Caches of samples: built once, used again, never trusted when anything about them is wrong, and never in the way."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.data import index_cache
from megatron_bio.data.bert_samples import BertSamples
from megatron_bio.data.index_cache import LOCK, MANIFEST, cache_key, cached_samples
from megatron_bio.data.packing import one_sample_per_row

ARRAYS = ("first_sequence", "first_offset", "lengths", "sequences", "first_sample")
DOCUMENTS = [[[1] * size for size in range(1 + number % 5, 30, 3)] for number in range(50)]


@pytest.fixture
def source(memory_source):
    return memory_source(DOCUMENTS)


def build(source) -> BertSamples:
    return one_sample_per_row(
        source.sequence_lengths,
        source.document_indices,
        np.arange(50),
        sequence_length=64,
        paired=True,
        short_sequence_probability=0.2,
        seed=3,
    )


def never() -> BertSamples:
    raise AssertionError("a sound cache is not built again")


def same(one: BertSamples, other: BertSamples) -> bool:
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)
    return equal and one.counts == other.counts


def keep(folder: Path, source, key: str = "key") -> Path:
    assert "kept in" in cached_samples(folder, key, source, lambda: build(source)).origin
    return folder / key


def test_the_second_run_reads_what_the_first_has_built(tmp_path: Path, source) -> None:
    first = cached_samples(tmp_path / "c", "key", source, lambda: build(source))
    second = cached_samples(tmp_path / "c", "key", source, never)
    assert same(first.samples, build(source)) and same(second.samples, build(source))
    assert first.origin.startswith("built in ") and second.origin == f"read from {tmp_path / 'c' / 'key'}"
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [LOCK, "key"]
    for name in ARRAYS:
        array = getattr(second.samples, name)
        assert type(array) is np.ndarray and not array.flags.writeable and not array.flags.owndata
        assert np.array_equal(np.load(tmp_path / "c" / "key" / f"{name}.npy"), array)


def test_samples_of_no_documents_are_kept_too(tmp_path: Path, memory_source) -> None:
    empty = memory_source([[], []])

    def none() -> BertSamples:
        return one_sample_per_row(
            empty.sequence_lengths,
            empty.document_indices,
            np.arange(2),
            sequence_length=64,
            paired=True,
            short_sequence_probability=0.0,
            seed=1,
        )

    cached_samples(tmp_path, "key", empty, none)
    assert same(cached_samples(tmp_path, "key", empty, never).samples, none())


def test_the_key_tells_apart_what_gives_other_samples() -> None:
    options = {"sequence_length": 64, "paired": True, "short_sequence_probability": 0.1, "seed": 1}
    keys = {
        cache_key("a", np.arange(5), options),
        cache_key("b", np.arange(5), options),
        cache_key("a", np.arange(6), options),
        cache_key("a", np.arange(5)[::-1], options),
        *(cache_key("a", np.arange(5), options | {name: 2}) for name in options),
    }
    assert len(keys) == 8
    assert cache_key("a", np.arange(5), dict(reversed(options.items()))) in keys


def damage_text(place: Path, name: str, change) -> None:
    content = json.loads((place / MANIFEST).read_text())
    change(content)
    (place / MANIFEST).write_text(json.dumps(content))


def flip(path: Path, at: int = -3, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(content)


def resealed(place: Path, name: str, change) -> None:
    """Change an array and make size and checksum agree again, as in a cache of other data under this key."""
    array = np.load(place / f"{name}.npy")
    array = change(array)
    entry = index_cache._write_array(place / f"{name}.npy", array, array.dtype.str)
    damage_text(place, name, lambda content: content["arrays"].update({name: entry}))


def replaced(at: int, value: int):
    def change(array):
        array[at] = value
        return array

    return change


DAMAGES = {
    "cut": lambda place: os.truncate(place / "lengths.npy", 200),
    "cut by one byte": lambda place: os.truncate(
        place / "lengths.npy", (place / "lengths.npy").stat().st_size - 1
    ),
    "empty": lambda place: (place / "first_sample.npy").write_bytes(b""),
    "array missing": lambda place: (place / "sequences.npy").unlink(),
    "a bit": lambda place: flip(place / "first_sequence.npy"),
    "a bit of a value that could be": lambda place: flip(place / "lengths.npy", -4, 64),
    "a bit of the header": lambda place: flip(place / "first_sequence.npy", 20),
    "no manifest": lambda place: (place / MANIFEST).unlink(),
    "half a manifest": lambda place: os.truncate(place / MANIFEST, 100),
    "no text": lambda place: (place / MANIFEST).write_bytes(b"\xff\xfe"),
    "text nested too deeply": lambda place: (place / MANIFEST).write_text("[" * 200_000),
    "a list": lambda place: (place / MANIFEST).write_text("[]"),
    "another format": lambda place: damage_text(place, "", lambda content: content.update(format=0)),
    "another key": lambda place: damage_text(place, "", lambda content: content.update(key="other")),
    "no arrays": lambda place: damage_text(place, "", lambda content: content.update(arrays={})),
    "no sizes": lambda place: damage_text(place, "", lambda content: content["arrays"].update(lengths=None)),
    "other tokens": lambda place: damage_text(place, "", lambda content: content["counts"].update(tokens=7)),
    "a negative count": lambda place: damage_text(
        place, "", lambda content: content["counts"].update(real_positions=-1)
    ),
    "huge size": lambda place: damage_text(
        place, "", lambda content: content["arrays"]["lengths"].update(length=2**62)
    ),
    "negative size": lambda place: damage_text(
        place, "", lambda content: content["arrays"]["lengths"].update(length=-1)
    ),
    "counts missing": lambda place: damage_text(place, "", lambda content: content["counts"].pop("rows")),
    "counts of text": lambda place: damage_text(
        place, "", lambda content: content["counts"].update(rows="1")
    ),
    "counts wrong": lambda place: damage_text(place, "", lambda content: content["counts"].update(rows=1)),
    "beyond the text": lambda place: resealed(place, "first_sequence", replaced(4, 10**6)),
    "before the text": lambda place: resealed(place, "first_sequence", replaced(4, -1)),
    "negative offset": lambda place: resealed(place, "first_offset", replaced(4, -1)),
    "ends behind the text": lambda place: resealed(place, "sequences", replaced(-1, 10**6)),
    "empty sample": lambda place: resealed(place, "lengths", replaced(0, 0)),
    "fewer lengths": lambda place: resealed(place, "lengths", lambda array: array[:-1]),
    "rows not ascending": lambda place: resealed(place, "first_sample", replaced(3, 0)),
    "rows beyond": lambda place: resealed(place, "first_sample", replaced(-1, 10**6)),
    "no rows": lambda place: resealed(place, "first_sample", lambda array: array[:0]),
    "a file instead": lambda place: (place.rename(place.with_name("x")), place.write_text("")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_cache_is_built_again_with_a_notice(tmp_path: Path, source, name: str) -> None:
    place = keep(tmp_path, source)
    DAMAGES[name](place)
    unwritten = cached_samples(tmp_path, "key", source, lambda: build(source), write=False)
    assert same(unwritten.samples, build(source))
    again = cached_samples(tmp_path, "key", source, lambda: build(source))
    assert same(again.samples, build(source))
    assert again.origin.startswith(f"{place} was damaged (") and again.origin.endswith(f"kept in {place}")
    assert same(cached_samples(tmp_path, "key", source, never).samples, build(source))
    assert not list(tmp_path.glob(".*tmp"))


def test_a_cache_of_other_data_under_the_key_is_not_used(tmp_path: Path, source, memory_source) -> None:
    keep(tmp_path, source)
    other = memory_source(DOCUMENTS[:20])
    found = cached_samples(tmp_path, "key", other, lambda: build(source))
    assert "was damaged (samples outside of the" in found.origin


def test_processes_that_have_mapped_a_replaced_cache_keep_it(tmp_path: Path, source) -> None:
    place = keep(tmp_path, source)
    mapped = cached_samples(tmp_path, "key", source, never).samples
    (place / MANIFEST).unlink()
    keep_again = cached_samples(tmp_path, "key", source, lambda: build(source))
    assert "kept in" in keep_again.origin and same(mapped, build(source))


def killed(folder: Path, function: str, call: int, source) -> None:
    """Kill this process the moment that `function` of the module or of os is called the `call`-th time."""
    owner = index_cache if hasattr(index_cache, function) else os
    original, calls = getattr(owner, function), iter(range(1, 1000))

    def kill(*arguments, **settings):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **settings)

    setattr(owner, function, kill)
    cached_samples(folder, "key", source, lambda: build(source))


POINTS = [
    *(("_write_array", call) for call in range(1, 6)),
    *(("fsync", call) for call in (1, 3, 5, 6, 7, 8)),
    *(("_header", call) for call in (1, 4)),
    ("_sync", 1),
    ("_sync", 2),
    ("rename", 1),
]


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize(("function", "call"), POINTS)
def test_a_kill_leaves_nothing_that_is_trusted_or_stays(
    tmp_path: Path, source, function: str, call: int, damaged: bool
) -> None:
    if damaged:
        (keep(tmp_path, source) / MANIFEST).unlink()
    process = multiprocessing.get_context("fork").Process(
        target=killed, args=(tmp_path, function, call, source)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    found = cached_samples(tmp_path, "key", source, lambda: build(source))
    assert same(found.samples, build(source))
    assert same(cached_samples(tmp_path, "key", source, never).samples, build(source))
    cached_samples(tmp_path, "other", source, lambda: build(source))
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK, "key", "other"]


def build_slowly(folder: Path, source, builds, started) -> None:
    def slow() -> BertSamples:
        with builds.get_lock():
            builds.value += 1
        started.set()
        time.sleep(3)
        return build(source)

    cached_samples(folder, "key", source, slow)


def test_ranks_wait_for_the_one_that_builds(
    tmp_path: Path, source, capfd: pytest.CaptureFixture[str]
) -> None:
    fork = multiprocessing.get_context("fork")
    builds, started = fork.Value("i", 0), fork.Event()
    ranks = [fork.Process(target=build_slowly, args=(tmp_path, source, builds, started)) for _ in range(3)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [0, 0, 0] and builds.value == 1
    assert (
        capfd.readouterr().err.count(f"Waiting for another process that builds the index in {tmp_path}") == 2
    )


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path, source) -> None:
    fork = multiprocessing.get_context("fork")
    builds, started = fork.Value("i", 0), fork.Event()
    holder = fork.Process(target=build_slowly, args=(tmp_path, source, builds, started))
    holder.start()
    assert started.wait(30)
    holder.kill()
    holder.join(30)
    begin = time.monotonic()
    assert same(cached_samples(tmp_path, "key", source, lambda: build(source)).samples, build(source))
    assert time.monotonic() - begin < 20


def test_leftovers_of_another_machine_stay(tmp_path: Path, source) -> None:
    mine = tmp_path / f".key.{index_cache._host()}.1.tmp"
    other = tmp_path / ".key.another-machine.1.tmp"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "lengths.npy").write_bytes(b"half")
    keep(tmp_path, source)
    assert not mine.exists() and other.exists()


def test_a_folder_that_cannot_be_made_costs_the_cache_only(tmp_path: Path, source) -> None:
    (tmp_path / "file").write_text("")
    found = cached_samples(tmp_path / "file" / "c", "key", source, lambda: build(source))
    assert same(found.samples, build(source))
    expected = f"built in memory, as it cannot be kept: {tmp_path / 'file' / 'c'}: Not a directory"
    assert found.origin == expected


def write_with_little_space(folder: Path, source, answers) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    found = cached_samples(folder, "key", source, lambda: build(source))
    answers.put((same(found.samples, build(source)), found.origin))


def test_a_disk_that_refuses_leaves_nothing_and_the_run_goes_on(tmp_path: Path, source) -> None:
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    process = fork.Process(target=write_with_little_space, args=(tmp_path, source, answers))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    equal, origin = answers.get()
    assert equal and "cannot be kept" in origin and "too large" in origin
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_folder_for_reading_only_is_read_and_not_missed(tmp_path: Path) -> None:
    """As another user than root, whom permissions do not stop."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from megatron_bio.data import index_cache
from megatron_bio.data.index_cache import cached_samples
from megatron_bio.data.packing import one_sample_per_row
from tests.data.conftest import MemorySource
from tests.data.test_index_cache import DOCUMENTS, build, never, same
source = MemorySource.of(DOCUMENTS)
folder = Path({str(tmp_path / "c")!r})
cached_samples(folder, "key", source, lambda: build(source))
folder.chmod(0o555)
if os.getuid() == 0:
    original = os.open
    def refuse(path, flags, *rest, **settings):
        if flags & os.O_CREAT and Path(path).parent == folder:
            raise PermissionError(13, "Permission denied")
        return original(path, flags, *rest, **settings)
    os.open = refuse
assert same(cached_samples(folder, "key", source, never).samples, build(source))
found = cached_samples(folder, "other", source, lambda: build(source))
assert same(found.samples, build(source))
print(found.origin)
folder.chmod(0o755)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = f"built in memory, as it cannot be kept: {tmp_path / 'c'}: Permission denied\n"
    assert done.stdout == expected
