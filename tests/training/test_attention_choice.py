"""Which attention a run takes, and what it says of it."""

import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch

from megatron_bio.config.data import DataConfig
from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.pretrain import PretrainConfig, differences_on_resume
from megatron_bio.config.training import TrainingConfig
from megatron_bio.data.batch import GptBatch
from megatron_bio.data.errors import DataError
from megatron_bio.training import computation
from megatron_bio.training.announcement import attention_line
from megatron_bio.training.batches import check_sequences
from megatron_bio.training.computation import chosen_attention

GPU = torch.device("cuda")


@pytest.fixture
def able_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computation, "obstacle_of_machine", lambda device: "")


def run(
    attention: str = "auto", architecture: str = "bert", precision: str = "bf16", **options: Any
) -> PretrainConfig:
    return PretrainConfig(
        model=ModelConfig(
            architecture=architecture,
            num_layers=2,
            hidden_size=options.pop("hidden_size", 64),
            num_attention_heads=4,
            attention_dropout=options.pop("dropout", 0.0),
        ),
        data=DataConfig(prefixes=["t"], tokenizer="v", **options),
        training=TrainingConfig(output="run", train_steps=9, precision=precision, attention=attention),
    )


@pytest.mark.parametrize(
    ("config", "sequences"),
    [
        (run(), 17),
        (run(precision="fp16", max_samples_per_row=4), 5),
        (run("variable_length", packing=False), 2),
        (run(architecture="gpt"), 1),
        (run("variable_length", "gpt", reset_at_document_end=True), 17),
    ],
)
def test_variable_length_runs_where_it_can(
    config: PretrainConfig, sequences: int, able_machine: None
) -> None:
    choice = chosen_attention(config, GPU)
    assert choice.sequences_per_row == sequences
    line = attention_line(config, choice)
    assert line.startswith(f"attention {config.training.attention}: variable-length flash attention")
    assert f"room for {sequences} sequences" in line


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (run("mask"), "training.attention is mask"),
        (run(dropout=0.1), "it has no dropout, and attention dropout is 0.1"),
        (run(precision="fp32"), "this is float32"),
        (run(hidden_size=48), "this is 12"),
    ],
)
def test_elsewhere_a_mask_and_the_reason_is_said(
    config: PretrainConfig, why: str, able_machine: None
) -> None:
    choice = chosen_attention(config, GPU)
    assert choice.sequences_per_row == 0
    line = attention_line(config, choice)
    assert why in line and "under a mask" in line
    assert ("softmax with dropout 0.1" in line) == (config.model.attention_dropout > 0)
    if config.training.attention == "auto":
        asked = replace(config, training=replace(config.training, attention="variable_length"))
        with pytest.raises(ConfigurationError, match=re.escape(why)):
            chosen_attention(asked, GPU)


def test_rows_of_any_number_of_documents_get_a_mask_unless_asked(able_machine: None) -> None:
    config = run(architecture="gpt", reset_at_document_end=True)
    choice = chosen_attention(config, GPU)
    assert choice.sequences_per_row == 0
    assert "variable_length takes 16, data.max_samples_per_row" in attention_line(config, choice)


def test_a_row_with_more_documents_than_room_is_named() -> None:
    batch = empty_rows(3)
    batch.segment_ids[1] = [1, 2, 3, 3]
    batch.segment_ids[2] = [1, 2, 0, 0]
    check_sequences(batch, 0)
    check_sequences(batch, 3)
    with pytest.raises(
        DataError, match=r"row of sample 11 holds 3 .* takes 2 here.*training\.attention mask"
    ):
        check_sequences(batch, 2)


def empty_rows(rows: int) -> GptBatch:
    numbers, weights = np.zeros((rows, 4), np.int64), np.zeros((rows, 4), np.float32)
    segments = np.zeros((rows, 4), np.int32)
    return GptBatch(numbers, segments, numbers, numbers, weights, np.arange(10, 10 + rows))


def test_on_a_cpu_a_mask() -> None:
    config = run()
    choice = chosen_attention(config, torch.device("cpu"))
    assert attention_line(config, choice) == (
        "attention auto: torch's scaled_dot_product_attention, whole rows under a mask "
        "(variable length: it runs on CUDA devices, and this is cpu)"
    )
    with pytest.raises(
        ConfigurationError, match=r"variable_length: it runs on CUDA devices.*auto takes a mask"
    ):
        chosen_attention(run("variable_length"), torch.device("cpu"))


def test_it_may_change_on_resume() -> None:
    assert differences_on_resume(asdict(run("mask")), run("auto")) == []
