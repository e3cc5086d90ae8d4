"""Safetensors files: written and read tensor by tensor, and headers that lie."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.safetensors_files import write_safetensors
from megatron_bio.convert.safetensors_source import SafetensorsSource
from megatron_bio.convert.stored_values import FiniteTensors, RoundedTensors
from tests.convert.tiny_runs import Tensors, read_all

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def test_shards_hold_at_most_the_given_bytes_and_are_indexed(tmp_path: Path) -> None:
    tensors = {f"tensor{number}": torch.full((10,), float(number)) for number in range(5)}
    tensors["large"] = torch.zeros(100)
    assert write_safetensors(tmp_path, Tensors(tensors), shard_bytes=80) == 600
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


def test_files_are_those_of_the_library_both_ways(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {str(dtype): torch.randint(0, 2, (3, 5), generator=generator).to(dtype) for dtype in DTYPES}
    tensors |= {
        "é": torch.randn(1, generator=generator),
        "empty": torch.zeros(0, 4),
        "one": torch.tensor(2.5),
    }
    write_safetensors(tmp_path, Tensors(tensors))
    theirs = load_file(tmp_path / "model.safetensors")
    save_file(tensors, tmp_path / "theirs.safetensors")
    ours = read_all(SafetensorsSource([tmp_path / "theirs.safetensors"]))
    for found in (theirs, ours):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_safetensors(tmp_path, Tensors({"a": torch.ones(4), "b": torch.zeros(2, 3)}))
    return tmp_path / "model.safetensors"


def rewritten(file: Path, **changes: object) -> Path:
    """Change entries of the header; the data stay."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end]) | changes
    text = json.dumps({name: entry for name, entry in header.items() if entry is not None}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    return file


@pytest.mark.parametrize("length", [0, 5, 20, -1])
def test_a_file_that_is_cut_off_is_refused(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ConvertError, match="damaged or cut off"):
        SafetensorsSource([file])


def test_a_file_that_is_too_long_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ConvertError, match=r"header describes [0-9]+ bytes, the file has"):
        SafetensorsSource([file])


def test_a_file_that_shrinks_after_it_was_opened_is_told(file: Path) -> None:
    source = SafetensorsSource([file])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ConvertError, match="became shorter"):
        source.read("b")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 1600]}, "needs 16 bytes, its offsets span 1,600"),
        ({"dtype": "F32", "shape": [400], "data_offsets": [0, 1600]}, "overlaps|describes"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}, "hole|overlaps"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [24, 8]}, "its offsets span"),
        ({"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}, "whole numbers"),
        ({"dtype": "F32", "shape": [4.0], "data_offsets": [0, 16]}, "whole numbers"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}, "whole numbers"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [True, 17]}, "whole numbers"),
        ({"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}, "whole numbers"),
        ({"dtype": "F32", "shape": [4]}, "expected dtype, shape and data_offsets"),
        ([1, 2], "expected dtype, shape and data_offsets"),
        ({"dtype": "F4", "shape": [4], "data_offsets": [0, 16]}, "stored as 'F4'"),
    ],
)
def test_a_header_that_lies_is_refused(file: Path, entry: object, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        SafetensorsSource([rewritten(file, a=entry)])


@pytest.mark.parametrize("header", [b"[]", b"{", b"\xff\xfe", b"{" * 5000])
def test_a_header_that_is_no_object_is_refused(file: Path, header: bytes) -> None:
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ConvertError, match="damaged or cut off: its header"):
        SafetensorsSource([file])


def test_a_header_length_beyond_the_file_is_refused_before_memory_is_taken(file: Path) -> None:
    file.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ConvertError, match="too few for a header of"):
        SafetensorsSource([file])


def test_a_tensor_in_two_files_is_refused(file: Path, tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(
        ConvertError, match=r"expected each tensor in one file; a is in model.safetensors too"
    ):
        SafetensorsSource([file, tmp_path / "other.safetensors"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_of_a_diverged_run_are_refused(value: float) -> None:
    weights = torch.ones(3)
    weights[1] = value
    with pytest.raises(ConvertError, match="layer: the checkpoint has values that are not finite"):
        FiniteTensors(Tensors({"layer": weights})).read("layer")


def test_values_too_large_for_half_precision_are_refused() -> None:
    source = Tensors({"layer": torch.tensor([1.0, -70000.0])})
    with pytest.raises(
        ConvertError, match=r"layer: its largest value 70000 .*at most 65504.*--precision bf16"
    ):
        RoundedTensors(source, torch.float16).read("layer")
    assert RoundedTensors(source, torch.bfloat16).read("layer").dtype is torch.bfloat16
