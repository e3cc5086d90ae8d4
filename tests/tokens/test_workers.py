"""Worker processes: none is left over, none is waited for in vain, and none runs ahead."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from megatron_bio.tokens.encoding import Batch, EncodedBatch, Encoder
from megatron_bio.tokens.errors import PreprocessError
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.workers import encode_in_order


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the processes that other tests keep for later."""
    before = {child.pid for child in multiprocessing.active_children()}
    monkeypatch.setattr(sys.modules[__name__], "OTHERS", before)


OTHERS: set[int | None] = set()


def own_children() -> list[multiprocessing.Process]:
    return [child for child in multiprocessing.active_children() if child.pid not in OTHERS]


class DyingEncoder(Encoder):
    """Its worker is killed, exits or raises in the third batch."""

    def encode(self, batch: Batch) -> EncodedBatch:
        if batch.place == "documents killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if batch.place == "documents ended":
            os._exit(3)
        if batch.place == "documents raised":
            raise RuntimeError("a defect")
        return super().encode(batch)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("killed", "was killed by SIGKILL while it tokenised documents killed. If memory ran out"),
        ("ended", "ended with exit code 3 while it tokenised documents ended"),
        ("raised", "ended with exit code 1 while it tokenised documents raised"),
    ],
)
def test_a_worker_that_dies_ends_the_job(wordpiece: Path, how: str, words: str) -> None:
    encoder = DyingEncoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    places = ["0", "1", f"documents {how}", *map(str, range(20))]
    results = encode_in_order(encoder, (Batch(texts=[("mice", "died")], place=place) for place in places), 2)
    started = time.monotonic()
    with pytest.raises(PreprocessError, match=words):
        list(results)
    assert time.monotonic() - started < 20
    assert not own_children()


def test_closing_early_ends_the_workers(wordpiece: Path) -> None:
    encoder = Encoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    results = encode_in_order(encoder, (Batch(texts=[("mice", "died")], place=str(n)) for n in range(9)), 2)
    next(results)
    assert len(own_children()) == 2
    results.close()
    assert not own_children()


def test_idle_workers_end_by_themselves(wordpiece: Path) -> None:
    encoder = Encoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    results = encode_in_order(encoder, (Batch(texts=[("mice", "died")], place=str(n)) for n in range(3)), 2)
    next(results)
    children = own_children()
    assert len(children) == 2
    assert len(list(results)) == 2
    assert [child.exitcode for child in children] == [0, 0]


def test_batches_are_read_only_as_workers_need_them(wordpiece: Path) -> None:
    encoder = Encoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    read = 0

    def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield Batch(texts=[("mice", "died")], place=str(read))

    results = encode_in_order(encoder, endless(), 2)  # type: ignore[arg-type]
    for taken in range(1, 6):
        next(results)
        assert read <= taken + 2
    results.close()


def is_running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_workers_end_when_the_parent_is_killed(wordpiece: Path) -> None:
    program = """if __name__ == "__main__":
        import itertools, multiprocessing, sys
        from megatron_bio.tokens.encoding import Batch, Encoder
        from megatron_bio.tokens.tokenizer import Tokenizer
        from megatron_bio.tokens.workers import encode_in_order
        encoder = Encoder(tokenizer=Tokenizer.load(sys.argv[1]), split=True, eod=None)
        results = encode_in_order(encoder, itertools.repeat(Batch(texts=[("mice", "died")], place="all")), 2)
        next(results)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        sys.stdin.read()"""
    command = [sys.executable, "-c", program, str(wordpiece)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(map(is_running, children))
        parent.kill()
        deadline = time.monotonic() + 10
        while any(map(is_running, children)):
            assert time.monotonic() < deadline, "expected the workers to end with their parent"
            time.sleep(0.02)
