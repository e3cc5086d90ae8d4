"""A rank that dies, raises or hangs ends the job under torchrun, and stderr says which rank and where."""

import errno
import re
import sys
from pathlib import Path

import pytest

from megatron_bio.config.errors import LostRankError, RankFailedError, UserError
from megatron_bio.parallel.rank_failure import told_by_rank
from megatron_bio.training.watchdog import _waits_for_ranks
from tests.distributed.tiny_run import make_data
from tests.training.jobs import recipe
from tests.training.processes import kill_tree, torchrun

LIMIT = 120.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder, "gpt")
    return folder


def run_with(fault: str, data: Path, timeout_minutes: float = 10.0) -> str:
    """Let rank 1 of 2 have a fault in step 3; return what the job wrote, once it has ended by itself."""
    path = recipe(data, fault, checkpoint_interval=100)
    log = data / f"{fault}.log"
    words = ["tests.training.faulty_run", fault, "1", "3", "--config", str(path)]
    words += ["--parallel.timeout_minutes", str(timeout_minutes)]
    job = torchrun("--nproc-per-node", "2", "-m", *words, log=log)
    try:
        assert job.wait(LIMIT) != 0
    finally:
        if job.poll() is None:
            kill_tree(job)
    return log.read_text(encoding="utf-8")


def before_torchrun_s_report(text: str) -> str:
    """Return what the ranks wrote; torchrun's own messages begin with a letter and a date."""
    return re.split(r"^[WE]\d{4} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def test_a_killed_rank_ends_the_job(data: Path) -> None:
    text = run_with("die", data)
    assert "Signal 9 (SIGKILL)" in text
    assert "Traceback" not in before_torchrun_s_report(text)


@pytest.mark.slow
def test_a_rank_that_raises_is_heard(data: Path) -> None:
    text = run_with("fail", data)
    told = before_torchrun_s_report(text)
    assert "rank 1 of 2 failed (" in told
    assert told.count("Traceback (most recent call last)") == 1
    assert "ZeroDivisionError: broken on purpose" in told
    root_cause = text.partition("Root Cause")[2]
    assert "rank 1 of 2 failed: ZeroDivisionError: broken on purpose" in root_cause


def test_a_rank_that_hangs_shows_where(data: Path) -> None:
    text = run_with("hang", data, timeout_minutes=0.2)
    told = before_torchrun_s_report(text)
    assert "rank 1 of 2: no step was finished for 0.2 minutes" in told
    assert "after step 3; it stands here" in told
    assert re.search(r"faulty_run\.py\", line \d+, in hang\n", told)
    assert "rank 0 of 2: no step was finished for 0.2 minutes" in told
    assert re.search(r"rank 0 of 2: .*; it waits for other ranks in \w+, called from .* step\.py:", told)
    assert "exitcode  : 124" in text


@pytest.mark.slow
def test_a_rank_that_hangs_with_the_interpreter_lock_shows_where(data: Path) -> None:
    text = run_with("hang_with_the_interpreter_lock", data, timeout_minutes=0.2)
    assert "rank 0 of 2: no step was finished for 0.2 minutes" in text
    assert "in hang_with_the_interpreter_lock" in text


def end_by(error: BaseException, ranks: int = 2) -> None:
    with told_by_rank(1, ranks):
        raise error


@pytest.mark.parametrize(
    "words",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:2",
        "[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 10000ms for recv operation to complete",
        "NCCL error … remote process exited or there was a network error, NCCL version 2.27.3",
    ],
)
def test_a_lost_connection_is_one_short_message(words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LostRankError, match=r"^another rank .* look for the message of that rank"):
        end_by(RuntimeError(words))
    assert capfd.readouterr().err == ""


def test_any_other_error_is_told_with_the_rank_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RankFailedError, match="rank 1 of 2 failed: RuntimeError: shapes differ"):
        end_by(RuntimeError("shapes differ"))
    told = capfd.readouterr().err
    assert told.startswith("rank 1 of 2 failed (")
    assert told.endswith("RuntimeError: shapes differ\n")


def test_an_error_for_the_user_and_a_single_rank_are_left_to_the_command_line() -> None:
    with pytest.raises(UserError, match="wrong"):
        end_by(UserError("wrong"))
    with pytest.raises(OSError, match="No space left"):
        end_by(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(RankFailedError, match="FileNotFoundError"):
        end_by(FileNotFoundError(errno.ENOENT, "No such file"))
    with pytest.raises(RuntimeError, match="Connection closed by peer"):
        end_by(RuntimeError("Connection closed by peer"), ranks=1)


def test_a_lost_rank_is_known_behind_an_exception_of_the_pipeline() -> None:
    def fail() -> None:
        try:
            raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:1")
        except RuntimeError as error:
            raise RuntimeError("[Stage 1] failed to run forward") from error

    with pytest.raises(LostRankError, match="another rank ended first"), told_by_rank(0, 2):
        fail()


def test_waiting_for_a_message_is_waiting() -> None:
    frames: list[bool] = []

    class Work:
        def wait(self) -> None:
            caller = sys._getframe(1)
            frames.append(_waits_for_ranks(caller))

    work = Work()
    work.wait()
    Work().wait()
    assert frames == [True, False]
