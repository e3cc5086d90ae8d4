"""Of many ranks that fail alike one speaks, and torchrun repeats what it said."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_bio.cli import main
from megatron_bio.config.errors import LostRankError, RankFailedError
from megatron_bio.failures import tell_failure

ROOT = Path(__file__).parents[1]


def test_of_ranks_that_fail_alike_one_speaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in range(3):
        (tmp_path / str(rank)).mkdir()
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / str(rank) / "error.json"))
        tell_failure("megatron-bio pretrain", "error: alike")
    tell_failure("megatron-bio pretrain", "error: of the last rank alone")
    assert capsys.readouterr().err == (
        "megatron-bio pretrain: error: alike\nmegatron-bio pretrain: error: of the last rank alone\n"
    )
    for rank, message in enumerate(("alike", "alike", "of the last rank alone")):
        told = json.loads((tmp_path / str(rank) / "error.json").read_text(encoding="utf-8"))
        assert told["message"]["message"] == f"megatron-bio pretrain: error: {message}"


def test_unusable_folder_of_torchrun_silences_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "gone" / "0" / "error.json"))
    tell_failure("megatron-bio pretrain", "error: wrong")
    assert capsys.readouterr().err.startswith("megatron-bio pretrain: error: wrong\n")


def test_rank_is_named_where_another_launcher_started_several(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    tell_failure("megatron-bio pretrain", "error: wrong")
    assert capsys.readouterr().err == "megatron-bio pretrain: rank 3: error: wrong\n"


def end_pretrain_by(error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Return the exit status of `pretrain` that raises `error`, and what torchrun is told."""

    def pretrain(_: object) -> None:
        raise error

    monkeypatch.setattr("megatron_bio.training.pretrain.pretrain", pretrain)
    monkeypatch.setattr("megatron_bio.cli.FIRST_TO_FAIL_SPEAKS_SECONDS", 0.0)
    (folder / "0").mkdir()
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(folder / "0" / "error.json"))
    data = ["--data.prefixes", "[tokens]", "--data.tokenizer", "tokenizer"]
    status = main(["pretrain", *data, "--training.output", "run", "--training.train_steps", "1"])
    return status, json.loads((folder / "0" / "error.json").read_text(encoding="utf-8"))["message"]["message"]


def test_a_rank_that_lost_another_is_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "megatron-bio pretrain: error: another rank ended first"
    told = end_pretrain_by(LostRankError("another rank ended first"), tmp_path, monkeypatch)
    assert told == (1, message)
    assert capsys.readouterr().err == message + "\n"


def test_a_rank_that_was_told_already_is_not_told_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = end_pretrain_by(RankFailedError("rank 1 of 2 failed: KeyError: 7"), tmp_path, monkeypatch)
    assert told == (1, "megatron-bio pretrain: rank 1 of 2 failed: KeyError: 7")
    assert capsys.readouterr().err == ""


def test_torchrun_tells_the_message_once_and_repeats_it_at_its_end(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        str(ROOT / "tools/pretrain.py"),
    ]
    process = subprocess.run(
        [*command, "--config", "none.yaml"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    message = "megatron-bio pretrain: error: --config: expected a readable YAML file, found none.yaml"
    lines = process.stderr.splitlines()
    assert process.returncode != 0
    assert sum(line.startswith(message) for line in lines) == 1
    assert lines[-2].strip().startswith(f"traceback : {message}")
