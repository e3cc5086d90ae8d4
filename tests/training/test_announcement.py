"""What a run says before its first step, and the configuration that it writes."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
import yaml

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.parallel.mesh import MeshShape
from megatron_bio.training.announcement import data_lines, layout_lines, write_config
from tests.distributed.tiny_run import config


def test_the_layout_and_the_stages_are_said(tmp_path: Path) -> None:
    layout = ParallelConfig(pipeline_parallel=2, tensor_parallel=2, zero=3)
    run = replace(config(tmp_path, "gpt", "run"), parallel=layout).with_vocab_size(300)
    head, title, *stages = layout_lines(run, MeshShape(pp=2, dp_shard=3, tp=2), torch.device("cpu"))
    assert "ranks: 12 = pipeline_parallel 2 x data_parallel 3 (3 share, zero 3) x tensor_parallel 2" in head
    assert "sequence_parallel true" in head
    assert title == "pipeline, 1f1b:"
    assert [line.strip().split(":")[0] for line in stages] == [
        "stage 0 on pipeline rank 0",
        "stage 1 on pipeline rank 1",
    ]


def test_counts_of_the_data_are_said() -> None:
    report = {"train": {"documents": 1200, "split_sentences": 3}, "fingerprint": "abc"}
    assert list(data_lines(report)) == ["train: documents 1,200, split sentences 3", "fingerprint: abc"]


def test_the_configuration_is_written_whole(tmp_path: Path) -> None:
    run = config(tmp_path, "bert", "run")
    write_config(run, tmp_path)
    written = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    expected = asdict(run)
    assert written["parallel"] == expected["parallel"]
    assert written["data"]["split"] == list(expected["data"]["split"])
