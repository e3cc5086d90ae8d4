"""Files of weights: shards, rounding, and values that no model can have."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.weights import write_weights


def test_shards_hold_at_most_the_given_bytes_and_are_indexed(tmp_path: Path) -> None:
    tensors = {f"tensor{number}": torch.full((10,), float(number)) for number in range(5)}
    tensors["large"] = torch.zeros(100)
    assert write_weights(tmp_path, tensors.items(), torch.float32, shard_bytes=80) == 600
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 600}
    assert index["weight_map"] == {
        "tensor0": "model-00001-of-00004.safetensors",
        "tensor1": "model-00001-of-00004.safetensors",
        "tensor2": "model-00002-of-00004.safetensors",
        "tensor3": "model-00002-of-00004.safetensors",
        "tensor4": "model-00003-of-00004.safetensors",
        "large": "model-00004-of-00004.safetensors",
    }
    for name, file_name in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / file_name)[name], tensors[name])
    assert {path.name for path in tmp_path.iterdir()} == {
        *index["weight_map"].values(),
        "model.safetensors.index.json",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_of_a_diverged_run_are_refused(value: float, tmp_path: Path) -> None:
    weights = torch.ones(3)
    weights[1] = value
    with pytest.raises(ConvertError, match="layer: the checkpoint has values that are not finite"):
        write_weights(tmp_path, [("layer", weights)], torch.float32)


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConvertError, match=r"layer: its largest value 70000 .*at most 65504.*--precision bf16"
    ):
        write_weights(tmp_path, [("layer", torch.tensor([1.0, -70000.0]))], torch.float16)
    write_weights(tmp_path, [("layer", torch.tensor([1.0, -70000.0]))], torch.bfloat16)
