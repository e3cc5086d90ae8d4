"""What versions of Megatron-LM save differently: arguments before the fused GELU, groups and keys of optimizers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_bio.convert.megatron_lm.open import open_checkpoint
from tests.convert.megatron_lm.checkpoints import VOCABULARY, read_everything, tiny, written


def change_files(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    for file in folder.rglob("*.pt"):
        content = torch.load(file, weights_only=False)
        change(content)
        torch.save(content, file)


def test_arguments_before_the_fused_kernel_mean_exact_gelu(tmp_path: Path) -> None:
    folder = written(tiny("bert"), tmp_path / "theirs")
    change_files(folder, lambda content: delattr(content["args"], "bias_gelu_fusion"))
    assert open_checkpoint(folder, VOCABULARY).model.activation == "gelu"


def swap_groups(content: dict[str, Any]) -> None:
    """The group without weight decay first, counted from 0."""
    optimizer = content["optimizer"]
    adam = optimizer["optimizer"]
    groups = adam["param_groups"][::-1]
    old = [key for group in groups for key in group["params"]]
    adam["state"] = {number: adam["state"][key] for number, key in enumerate(old)}
    first = len(groups[0]["params"])
    groups[0]["params"], groups[1]["params"] = list(range(first)), list(range(first, len(old)))
    adam["param_groups"] = groups
    optimizer["fp32_from_fp16_params"] = optimizer["fp32_from_fp16_params"][::-1]


def rename_to_first_version(content: dict[str, Any]) -> None:
    """Version 1.0 has other keys, and torch of its time counted parameters by addresses."""
    optimizer = content["optimizer"]
    adam = optimizer["optimizer"]
    adam["state"] = {key + 140_000: value for key, value in adam["state"].items()}
    for group in adam["param_groups"]:
        group["params"] = [key + 140_000 for key in group["params"]]
    content["optimizer"] = {
        "optimizer_state_dict": adam,
        "fp32_from_fp16": optimizer["fp32_from_fp16_params"],
    }


def chain(content: dict[str, Any]) -> None:
    content["optimizer"] = [content["optimizer"]]


@pytest.mark.parametrize("change", [swap_groups, rename_to_first_version, chain])
def test_optimizers_of_all_versions_are_read(
    change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    checkpoint = tiny("bert")
    layout = {"tensor_parallel": 2, "pipeline_parallel": 2, "precision": "fp16"}
    folder = written(checkpoint, tmp_path / "theirs", **layout)
    change_files(folder, change)
    found = open_checkpoint(folder, VOCABULARY)
    for ours, theirs in ((checkpoint.weights, found.weights), (checkpoint.moments, found.moments)):
        before, after = read_everything(ours), read_everything(theirs)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
