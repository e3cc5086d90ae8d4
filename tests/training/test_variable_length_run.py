"""Whole runs on token data with attention of variable length: the log of the same run under a mask, but for rounding."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.training import computation
from tests.distributed.pool import CaseFailedError, Pool
from tests.distributed.tiny_run import config, make_data, records, train
from tests.kernels.varlen_on_cpu import varlen_on_cpu


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("bert", "gpt")}
    for architecture, folder in folders.items():
        make_data(folder, architecture)
    return folders


def train_variable_length(run: PretrainConfig) -> list[int]:
    with pytest.MonkeyPatch.context() as patch, varlen_on_cpu() as calls:
        patch.setattr(computation, "obstacle_of_machine", lambda device: "")
        train(run, 1)
    return calls


def run_of(
    folder: Path, architecture: str, output: str, attention: str, most: int = 16, **data: Any
) -> PretrainConfig:
    run = config(folder, architecture, output, precision="bf16", attention=attention, train_steps=4)
    run = replace(run, data=replace(run.data, max_samples_per_row=most, **data))
    return replace(run, model=replace(run.model, attention_dropout=0.0))


@pytest.mark.parametrize(
    ("architecture", "most", "data", "room"),
    [
        ("bert", 2, {}, 3),
        ("gpt", 16, {}, 1),
        ("gpt", 16, {"reset_at_document_end": True}, 17),
    ],
)
def test_a_run_is_the_run_under_a_mask(
    pool: Pool, folders: dict[str, Path], architecture: str, most: int, data: dict[str, Any], room: int
) -> None:
    folder = folders[architecture]
    outputs = [f"{attention}-{room}" for attention in ("mask", "variable_length")]
    masked, short = (
        run_of(folder, architecture, output, output.split("-")[0], most, **data) for output in outputs
    )
    pool.run(train, 1, masked, 1)
    (calls,) = pool.run(train_variable_length, 1, short)
    assert set(calls) == {2 * room + 1}  # two rows in a microbatch
    names = [name for name in records(folder / outputs[0])[0] if name == "loss" or name.endswith("_loss")]
    assert names
    for found, expected in zip(*(records(folder / output) for output in reversed(outputs)), strict=True):
        assert {n: found[n] for n in names if n in found} == pytest.approx(
            {n: expected[n] for n in names if n in expected}, rel=2e-3
        )


def test_a_row_with_too_many_documents_ends_the_run_with_a_message(
    pool: Pool, folders: dict[str, Path]
) -> None:
    run = run_of(folders["gpt"], "gpt", "many", "variable_length", most=1, reset_at_document_end=True)
    with pytest.raises(
        CaseFailedError, match=r"DataError: data\.max_samples_per_row: the row of sample \d+ holds"
    ):
        pool.run(train_variable_length, 1, run)
