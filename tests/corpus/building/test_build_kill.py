"""kill -9 at any moment, then the same command again: the corpus of an uninterrupted run, byte for byte."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_bio.corpus.building import blocks
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import CorpusError
from tests.corpus.building import killed_build
from tests.corpus.building.conftest import Corpus, Prose
from tests.corpus.building.test_build import mixture

ROOT = Path(__file__).parents[3]
Build = Callable[..., Corpus]
Write = Callable[..., Path]
FEW = 4


@pytest.fixture
def source(prose: Prose, write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", killed_build.BLOCK_BYTES)
    return write(mixture(prose, 36))


def start(source: Path, output: Path, *words: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "tests.corpus.building.killed_build", source, output, *words]
    return subprocess.run(
        [str(word) for word in program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def moments(renames: int, count: int) -> list[tuple[int, str]]:
    """`count` of all moments, spread evenly, the last rename, of the corpus itself, among them."""
    every = [(number, when) for number in range(1, renames + 1) for when in ("before", "after")]
    if count >= len(every):
        return every
    return [every[round(index * (len(every) - 1) / (count - 1))] for index in range(count)]


@pytest.mark.parametrize("count", [FEW, pytest.param(10_000, marks=pytest.mark.slow)])
def test_killed_at_each_stage(build: Build, source: Path, tmp_path: Path, count: int) -> None:
    whole = start(source, tmp_path / "whole", 0, "before")
    assert whole.returncode == 0, whole.stderr
    expected = Corpus(tmp_path / "whole").bytes()
    renames = int(whole.stdout.split()[-1])
    assert renames > 40 and set(expected) >= {"manifest.json", "copies.jsonl.zst", "dropped.jsonl.zst"}
    for number, when in moments(renames, count):
        output = tmp_path / f"{number}-{when}"
        killed = start(source, output, number, when)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        is_last = (number, when) == (renames, "after")
        assert output.exists() == is_last, "nothing half has the corpus's name"
        resumed = build(source, output=output.name, **killed_build.SETTINGS)
        assert resumed.bytes() == expected, (number, when)
        assert output.with_name(output.name + ".unfinished").exists() == is_last


def test_killed_while_a_corpus_is_replaced(build: Build, source: Path, write: Write, tmp_path: Path) -> None:
    """The old corpus is there until the new one is, and the same command ends with the new one alone."""
    old = build(Document(id="old", text=Prose(8).text()), output="old").bytes()
    renames = int(start(source, tmp_path / "new", 0, "before").stdout.split()[-1])
    new = Corpus(tmp_path / "new").bytes()
    settings = {**killed_build.SETTINGS, "overwrite": True}
    for number, when in [(renames, "after"), (renames + 1, "after")]:
        output = tmp_path / f"{number}-corpus"
        shutil.copytree(tmp_path / "old", output)
        killed = start(source, output, number, when, "overwrite")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with pytest.raises(CorpusError, match="found none in 1 files"):
            build(write([Document(id="s", text="Short.")], "s.jsonl"), output=output.name, **settings)
        assert Corpus(output).bytes() == (new if number > renames else old)
        assert build(source, output=output.name, **settings).bytes() == new
        assert [path.name for path in tmp_path.glob(f"{output.name}*")] == [output.name]


def test_a_resumed_run_makes_only_what_is_missing(build: Build, source: Path, tmp_path: Path) -> None:
    start(source, tmp_path / "c", 45, "before")
    parts = sorted((tmp_path / "c.unfinished" / "parts").glob("*/counts.json"))
    assert len(parts) > 1
    times = [path.stat().st_mtime_ns for path in parts]
    killed = start(source, tmp_path / "c", 25, "before")
    assert killed.returncode == -signal.SIGKILL
    assert [path.stat().st_mtime_ns for path in parts] == times
    assert len(sorted((tmp_path / "c.unfinished" / "parts").glob("*/counts.json"))) > len(parts)
    assert build(source, output="c", **killed_build.SETTINGS).ids()


CHANGES = [
    {"minimum_words": 80},
    {"copied_sentence_fraction": 0.9},
    {"split": (1.0, 0.0, 0.0), "keep_dropped": False},
    {"resume": False},
]


def test_what_other_options_left_is_not_used(build: Build, source: Path, tmp_path: Path) -> None:
    whole = start(source, tmp_path / "whole", 0, "before")
    renames = int(whole.stdout.split()[-1])
    start(source, tmp_path / "killed", renames - 1, "after")
    left = tmp_path / "killed.unfinished"
    assert (left / "corpus" / "manifest.json").exists()
    for number, change in enumerate(CHANGES):
        shutil.copytree(left, tmp_path / f"c{number}.unfinished")
        settings = {**killed_build.SETTINGS, **change}
        resumed, fresh = (build(source, output=f"{name}{number}", **settings) for name in ("c", "fresh"))
        assert resumed.bytes() == fresh.bytes(), change
        assert len(list(resumed.path.rglob("*"))) == len(list(fresh.path.rglob("*")))


def test_changed_input_is_read_again(build: Build, source: Path, tmp_path: Path, write: Write) -> None:
    start(source, tmp_path / "c", 40, "before")
    changed = write(mixture(Prose(5), 36))
    assert changed == source
    settings = killed_build.SETTINGS
    assert build(source, output="c", **settings).bytes() == build(source, output="fresh", **settings).bytes()


@pytest.mark.slow
def test_killed_with_workers_at_random_moments(build: Build, source: Path, tmp_path: Path) -> None:
    """The parent and then its workers die; the seed of a failure is told by the assertion."""
    expected = build(source, output="whole", **killed_build.SETTINGS).bytes()
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**6)))
    chooser = random.Random(seed)
    words = (
        f"corpus build {source} --output {tmp_path / 'c'} --keep_dropped true --split 0.7 0.2 0.1 --workers 2"
    )
    killed = 0
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-m", "megatron_bio", *words.split()], cwd=ROOT)
        time.sleep(chooser.uniform(0.3, 4))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        if (tmp_path / "c").exists():
            assert Corpus(tmp_path / "c").bytes() == expected, seed
            (tmp_path / "c").rename(tmp_path / f"done-{chooser.random()}")
    assert killed > 5
    settings = {**killed_build.SETTINGS, "workers": 2}
    assert build(source, output="c", **settings).bytes() == expected, seed


@pytest.mark.parametrize("after", [0, 20, 43])
def test_a_full_disk_is_told_and_leaves_nothing_half(
    build: Build, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    expected = build(source, output="whole").bytes()
    room = after
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(CorpusError, match="cannot be written: No space left on device"):
            build(source)
    assert not (tmp_path / "corpus").exists()
    assert not list((tmp_path / "corpus.unfinished").rglob("*.tmp"))
    assert build(source).bytes() == expected
