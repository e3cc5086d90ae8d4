"""Signals: the first asks for the end, the same request sent twice is one, a later one ends the process."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from megatron_bio.training import interruption
from megatron_bio.training.interruption import SIGNALS, Interruption
from tests.distributed.pool import Pool


def ask(numbers: tuple[int, ...]) -> bool:
    """Send rank 1 signals; return what this rank is told."""
    with Interruption(torch.device("cpu")) as asked:
        assert not asked.requested()
        if torch.distributed.get_rank() == 1:
            for number in numbers:
                os.kill(os.getpid(), number)
        return asked.requested()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_one_rank_is_known_to_all_and_may_come_twice(pool: Pool, number: signal.Signals) -> None:
    """torchrun passes on what SLURM has sent to its ranks already."""
    before = signal.getsignal(number)
    assert pool.run(ask, 2, (number,)) == [True, True]
    assert pool.run(ask, 2, (number, number)) == [True, True]
    assert pool.run(ask, 2, ()) == [False, False]
    assert signal.getsignal(number) == before


def ask_again_later(first: int, second: int) -> str:
    interruption.SAME_REQUEST_SECONDS = 0.0
    try:
        with Interruption(torch.device("cpu")):
            # Not os.kill: another thread may take that, and of two pending signals Python runs the lower number first.
            signal.raise_signal(first)
            signal.raise_signal(second)
    except KeyboardInterrupt:
        return "ended"
    finally:
        interruption.SAME_REQUEST_SECONDS = 5.0
    return "went on"


def test_a_later_ctrl_c_ends_the_process_and_a_later_sigusr1_does_not(pool: Pool) -> None:
    assert pool.run(ask_again_later, 1, signal.SIGTERM, signal.SIGINT) == ["ended"]
    assert pool.run(ask_again_later, 1, signal.SIGTERM, signal.SIGUSR1) == ["went on"]


STARTED_WITH_SIGTERM_IGNORED = """
import signal, torch
from megatron_bio.training import interruption
interruption.SAME_REQUEST_SECONDS = 0.0
assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
with interruption.Interruption(torch.device("cpu")):
    for _ in range(3):
        signal.raise_signal(signal.SIGUSR1)
    print("still here", flush=True)
    signal.raise_signal(signal.SIGTERM)
print("went on")
"""


def test_a_later_sigterm_ends_a_process_that_was_started_with_it_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        command = [sys.executable, "-c", STARTED_WITH_SIGTERM_IGNORED]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert process.communicate()[0] == "still here\n"
    assert process.returncode == -signal.SIGTERM
