"""What is written tensor by tensor is what torch.save would have written, for torch and for our reader."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.stream import Later, write_torch_file


def later(tensor: torch.Tensor) -> Later:
    return Later(tensor.to("meta"), lambda: tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_torch_and_our_reader_see_every_tensor(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = [
        torch.arange(12).view(3, 4).to(dtype),
        torch.arange(5).to(dtype),
        torch.ones(4, 6).to(dtype).t(),
    ]
    content = {
        "args": Namespace(hidden_size=4),
        "model": {"a": later(tensors[0]), "nested": {0: later(tensors[1])}},
        "list": [later(tensors[2]), {"betas": (0.9, 0.999)}],
    }
    write_torch_file(tmp_path / "file.pt", content)
    loaded = torch.load(tmp_path / "file.pt", weights_only=False)
    assert loaded["args"] == Namespace(hidden_size=4) and loaded["list"][1] == {"betas": (0.9, 0.999)}
    found = [loaded["model"]["a"], loaded["model"]["nested"][0], loaded["list"][0]]
    assert all(torch.equal(one, other) for one, other in zip(found, tensors, strict=True))
    ours = open_torch_file(tmp_path / "file.pt")
    assert torch.equal(ours["model"]["a"].read(), tensors[0])


def test_tensors_are_read_one_after_the_other(tmp_path: Path) -> None:
    alive: list[int] = []

    def read(number: int) -> torch.Tensor:
        alive.append(number)
        return torch.full((2,), float(number))

    meta = torch.empty(2, device="meta")
    content = {name: Later(meta, lambda number=number: read(number)) for number, name in enumerate("abc")}
    write_torch_file(tmp_path / "file.pt", content)
    assert alive == [0, 1, 2]
    assert torch.load(tmp_path / "file.pt")["c"].tolist() == [2.0, 2.0]
