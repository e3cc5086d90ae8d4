"""What torch.save writes, in both formats, is read as torch.load reads it."""

import argparse
import random
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from megatron_bio.convert.torch_file.open import is_torch_file, open_torch_file
from megatron_bio.convert.torch_file.tensors import LazyTensor

FORMATS = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])


def read_all(value: Any) -> Any:
    """Replace every lazy tensor by the tensor."""
    if isinstance(value, LazyTensor):
        return value.read()
    if isinstance(value, dict):
        return type(value)((key, read_all(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(read_all(item) for item in value)
    if isinstance(value, argparse.Namespace):
        return argparse.Namespace(**read_all(vars(value)))
    return value


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert isinstance(found, Tensor)
        assert found.dtype == expected.dtype and found.shape == expected.shape and found.is_contiguous()
        assert torch.equal(found.nan_to_num(), expected.detach().nan_to_num())
    elif isinstance(expected, dict):
        assert isinstance(found, dict) and list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert type(found) is (list if isinstance(expected, list) else tuple) and len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray | np.generic):
        assert type(found) is type(expected) and found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, argparse.Namespace):
        assert type(found) is argparse.Namespace
        assert_same(vars(found), vars(expected))
    else:
        assert type(found) is type(expected) and found == expected


def round_trip(tmp_path: Path, value: Any, as_zip: bool, **options: Any) -> None:
    path = tmp_path / "file.pt"
    torch.save(value, path, _use_new_zipfile_serialization=as_zip, **options)
    assert is_torch_file(path)
    assert_same(read_all(open_torch_file(path)), torch.load(path, weights_only=False))


def tensors() -> dict[str, Tensor]:
    base = torch.arange(60, dtype=torch.float32).view(3, 4, 5)
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128)
    whole = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
    return {
        **{str(kind): torch.randn(5, 3).to(kind) for kind in kinds},
        **{str(kind): torch.randint(0, 2, (4, 2)).to(kind) for kind in whole},
        **{"scalar": torch.tensor(2.5), "empty": torch.empty(0), "no rows": torch.empty(0, 7)},
        **{
            "base": base,
            "row": base[1],
            "column": base[:, 2],
            "turned": base.permute(2, 0, 1),
            "steps": base[::2, 1::2],
        },
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "buffer": torch.nn.Parameter(torch.randn(2, 2), requires_grad=False),
    }


@FORMATS
def test_tensors_of_every_dtype_and_views_of_shared_storages(tmp_path: Path, as_zip: bool) -> None:
    round_trip(tmp_path, tensors(), as_zip)


def test_dtypes_without_a_storage_of_their_own(tmp_path: Path) -> None:
    value = {
        "float8": torch.randn(4).to(torch.float8_e4m3fn).view(torch.uint8),
        "u16": torch.arange(5).to(torch.uint16),
    }
    path = tmp_path / "file.pt"
    torch.save(value, path)
    found = open_torch_file(path)
    assert torch.equal(found["u16"].read().to(torch.int32), torch.arange(5, dtype=torch.int32))
    assert found["u16"].dtype is torch.uint16


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_checkpoint_of_megatron(tmp_path: Path, as_zip: bool, protocol: int) -> None:
    linear = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(linear.parameters())
    linear(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    value = {
        "args": argparse.Namespace(
            hidden_size=3, lr=1e-4, params_dtype=torch.bfloat16, betas=(0.9, 0.95), none=None, big=1 << 70
        ),
        "checkpoint_version": 3.0,
        "iteration": 120_000,
        "model": {"language_model": linear.state_dict()},
        "optimizer": optimizer.state_dict(),
        "counts": defaultdict(list, {"a": [1]}),
        "set": {1, "two"},
        "flags": [True, False, b"bytes", bytearray(b"more"), 1 + 2j, "Größe β", -5, 2**40, frozenset([3])],
        "device": torch.device("cuda:1"),
        "shape": torch.Size([2, 3]),
        "rng_state": [
            {
                "random_rng_state": random.getstate(),
                "np_rng_state": np.random.get_state(),
                "torch_rng_state": torch.get_rng_state(),
                "scalar": np.float64(2.5),
                "arrays": [
                    np.arange(6).reshape(2, 3),
                    np.arange(6.0).reshape(2, 3).T,
                    np.zeros((0, 2)),
                    np.arange(3, dtype=">i4"),
                ],
            }
        ],
    }
    path = tmp_path / "file.pt"
    torch.save(value, path, _use_new_zipfile_serialization=as_zip, pickle_protocol=protocol)
    expected = torch.load(path, weights_only=False)
    expected["shape"], expected["counts"] = (2, 3), {"a": [1]}
    assert_same(read_all(open_torch_file(path)), expected)


@FORMATS
def test_a_model_s_state_dict_keeps_its_order(tmp_path: Path, as_zip: bool) -> None:
    value = OrderedDict(
        (f"layer.{index}", torch.full((index,), float(index))) for index in reversed(range(20))
    )
    round_trip(tmp_path, value, as_zip)
