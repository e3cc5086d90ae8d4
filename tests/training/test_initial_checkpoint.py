"""A run that starts with the weights of another run's checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.load import read_info
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.training import TrainingConfig
from tests.distributed.pool import CaseFailedError, Pool
from tests.distributed.tiny_run import config, make_data, records, tensors, train


@pytest.fixture(scope="module")
def folder(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run `general` of six steps at tensor-parallel size 2."""
    folder = tmp_path_factory.mktemp("initial")
    make_data(folder, "bert")
    pool.run(train, 2, config(folder, "bert", "general"), 2)
    return folder


def continued(folder: Path, output: str, **training: object) -> PretrainConfig:
    """A run whose learning rate is so small that its weights stay what they were."""
    run = config(
        folder, "bert", output, **{"initial_checkpoint": str(folder / "general"), "seed": 99, **training}
    )
    return replace(run, optimizer=replace(run.optimizer, lr=1e-12, weight_decay=0.0))


def test_weights_come_along_and_nothing_else_does(pool: Pool, folder: Path) -> None:
    pool.run(train, 1, continued(folder, "first-step", stop_at_step=1), 1)
    general, now = tensors(folder / "general"), tensors(folder / "first-step")
    assert general.keys() == now.keys()
    for name, tensor in now.items():
        if name.startswith("model."):
            torch.testing.assert_close(tensor, general[name], rtol=0, atol=1e-9)
        else:
            assert not torch.equal(tensor, general[name]), f"{name} was taken over"
    info = read_info(resolve_checkpoint(folder / "first-step"))
    assert (info["step"], info["samples"]) == (1, 8)
    assert info["config"]["training"]["initial_checkpoint"] == str(folder / "general")
    assert records(folder / "first-step")[0]["loss"] < records(folder / "general")[0]["loss"]


def test_resuming_does_not_read_it_again(pool: Pool, folder: Path) -> None:
    copy = folder / "copy"
    (folder / "general").rename(copy)
    run = continued(folder, "resumed", initial_checkpoint=str(copy), stop_at_step=2)
    pool.run(train, 1, run, 1)
    copy.rename(folder / "general")
    pool.run(train, 2, replace(run, training=replace(run.training, stop_at_step=None)), 1)
    assert read_info(resolve_checkpoint(folder / "resumed"))["step"] == 6


def mistake(pool: Pool, run: PretrainConfig) -> str:
    with pytest.raises(CaseFailedError, match=r"CheckpointError: training\.initial_checkpoint: ") as error:
        pool.run(train, 1, run, 1)
    assert not list((Path(run.training.output)).glob("checkpoints/*"))
    return str(error.value)


def test_another_shape_is_refused_even_where_the_tensors_have_the_same(pool: Pool, folder: Path) -> None:
    run = continued(folder, "other-heads")
    run = replace(
        run, model=replace(run.model, num_attention_heads=2, activation="gelu_tanh", norm_order="post")
    )
    message = mistake(pool, run)
    assert "model.num_attention_heads: the checkpoint has 4, this run 2" in message
    assert "model.activation: the checkpoint has gelu, this run gelu_tanh" in message
    assert "model.norm_order: the checkpoint has pre, this run post" in message


def test_another_tokenizer_is_refused(pool: Pool, folder: Path) -> None:
    other = folder / "other-tokenizer"
    run = folder / "general"
    step = resolve_checkpoint(run)
    info = json.loads((step / "info.json").read_text())
    (other / step.name).mkdir(parents=True)
    (other / step.name / "manifest.json").write_bytes((step / "manifest.json").read_bytes())
    (other / step.name / "info.json").write_text(json.dumps(info | {"tokenizer_fingerprint": "other"}))
    message = mistake(pool, continued(folder, "other-vocabulary", initial_checkpoint=str(other)))
    assert "trained with another tokenizer" in message
    assert "fingerprint other" in message


def test_a_folder_without_checkpoints_and_an_empty_name(pool: Pool, folder: Path) -> None:
    message = mistake(pool, continued(folder, "nothing", initial_checkpoint=str(folder / "vocabulary")))
    assert "found none" in message
    with pytest.raises(ConfigurationError, match=r"training\.initial_checkpoint: expected a checkpoint"):
        TrainingConfig(output="o", train_steps=1, initial_checkpoint="")
