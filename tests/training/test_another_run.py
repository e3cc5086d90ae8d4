"""A checkpoint is continued by its own run only."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_bio.checkpoint.manifest import INFO, CheckpointError
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.data.build import open_training_data
from megatron_bio.training.loss_scale import build_loss_scale
from megatron_bio.training.state import Progress, restore, run_info
from tests.distributed.tiny_run import config, make_data


def refusal(folder: Path, run: PretrainConfig, before: dict[str, str], now: dict[str, str]) -> str:
    scale = build_loss_scale(run.training.precision, run.optimizer)
    info = run_info(run, Progress(step=3), scale, before)
    (folder / INFO).write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(CheckpointError, match="this checkpoint is of another run") as error:
        restore(folder, run, None, None, scale, now)
    return str(error.value)


@pytest.mark.parametrize("name", ["tokenizer_fingerprint", "data_fingerprint", "packed_rows"])
def test_other_data_are_refused(name: str, tmp_path: Path) -> None:
    run = config(tmp_path, "bert", "run")
    now = {"tokenizer_fingerprint": "a", "data_fingerprint": "b", "packed_rows": "c"}
    message = refusal(tmp_path, run, now | {name: "other"}, now)
    assert f"{name}: the checkpoint has other, this run has {now[name]}. Give" in message


def test_rows_packed_by_a_version_that_did_not_say_how_are_refused(tmp_path: Path) -> None:
    make_data(tmp_path, "bert")
    run = config(tmp_path, "bert", "run")
    now = open_training_data(run.data, "bert").fingerprints
    before = {name: value for name, value in now.items() if name != "packed_rows"}
    assert "packed_rows: the checkpoint has None, this run has index format" in refusal(
        tmp_path, run, before, now
    )
    single = replace(run.data, packing=False)
    assert "packed_rows" not in open_training_data(single, "bert").fingerprints
