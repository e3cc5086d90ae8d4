from pathlib import Path

import pytest
import torch.distributed as dist

from megatron_bio.training.lock import LOCK, locked_output
from tests.distributed.pool import CaseFailedError, Pool


def hold_twice(output: Path) -> None:
    with locked_output(output), locked_output(output):
        pass


def hold_in_turn(output: Path) -> int:
    for _ in range(2):
        with locked_output(output):
            dist.barrier()
    return dist.get_rank()


def test_a_second_writer_is_refused_on_every_rank(pool: Pool, tmp_path: Path) -> None:
    assert pool.run(hold_in_turn, 2, tmp_path / "run") == [0, 1]
    assert (tmp_path / "run" / LOCK).exists()
    with pytest.raises(CaseFailedError, match="another process is training in it"):
        pool.run(hold_twice, 2, tmp_path / "run")


def test_a_file_in_place_of_the_folder_is_named(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaseFailedError, match=r"UserError: training.output .*file: expected a folder"):
        pool.run(hold_in_turn, 2, tmp_path / "file")
