"""The tables: complete, and exact in both directions, bit for bit."""

import pytest
import torch

from megatron_bio.config.model import ModelConfig, padded_vocab_size
from megatron_bio.convert.hugging_face.tables import hugging_face_table
from megatron_bio.convert.table import AsForeign, AsOurs
from megatron_bio.convert.transformations import (
    QueryKeyValueColumns,
    QueryKeyValueSplit,
    Same,
    Transposed,
    WithoutPadding,
)
from tests.convert.tiny_runs import Tensors, new_model, random_model, read_all


def config(architecture: str, vocab_size: int = 203) -> ModelConfig:
    return ModelConfig(
        architecture=architecture,
        num_layers=3,
        hidden_size=24,
        num_attention_heads=4,
        max_position_embeddings=16,
        vocab_size=vocab_size,
    )


@pytest.mark.parametrize("architecture", ["bert", "gpt"])
@pytest.mark.parametrize("vocab_size", [128, 203])
def test_round_trip_gives_every_parameter_back(architecture: str, vocab_size: int) -> None:
    shape = config(architecture, vocab_size)
    ours = {name: value.detach().to_local() for name, value in random_model(shape).named_parameters()}
    table = hugging_face_table(shape)
    foreign = read_all(AsForeign(table, Tensors(ours)))
    back = read_all(AsOurs(table, Tensors(foreign)))
    assert back.keys() == ours.keys()
    for name, value in ours.items():
        real = vocab_size if value.shape[0] == padded_vocab_size(vocab_size) else len(value)
        assert torch.equal(back[name][:real], value[:real]), name
        assert back[name].shape == value.shape
        assert not back[name][real:].any(), f"{name}: padding comes back as zeros"
    again = read_all(AsForeign(table, Tensors(back)))
    assert again.keys() == foreign.keys()
    assert all(torch.equal(again[name], foreign[name]) for name in foreign)
    assert all(tensor.is_contiguous() for tensor in [*foreign.values(), *back.values()])


@pytest.mark.parametrize("architecture", ["bert", "gpt"])
def test_every_name_stands_once(architecture: str) -> None:
    shape = config(architecture)
    table = hugging_face_table(shape)
    ours = [entry.ours for entry in table]
    foreign = [name for entry in table for name in entry.foreign]
    assert sorted(ours) == sorted(name for name, _ in new_model(shape).named_parameters())
    assert len(set(foreign)) == len(foreign)


@pytest.mark.parametrize(
    ("transformation", "shape"),
    [
        (Same(), (3, 5)),
        (Transposed(), (3, 5)),
        (WithoutPadding(vocab_size=6, padded_size=6), (6, 5)),
        (QueryKeyValueSplit(heads=2), (18, 5)),
        (QueryKeyValueSplit(heads=2), (18,)),
        (QueryKeyValueColumns(heads=2), (18, 5)),
        (QueryKeyValueColumns(heads=2), (18,)),
    ],
)
def test_transformation_is_undone_exactly(transformation, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(transformation.to_ours(transformation.to_foreign(tensor)), tensor)


def test_split_sorts_rows_by_part_then_head() -> None:
    # Two heads of size 2, rows [heads, 3, 2]: tens are the head, hundreds the part.
    rows = torch.tensor([0, 1, 100, 101, 200, 201, 10, 11, 110, 111, 210, 211])
    query, key, value = QueryKeyValueSplit(heads=2).to_foreign(rows)
    assert query.tolist() == [0, 1, 10, 11]
    assert key.tolist() == [100, 101, 110, 111]
    assert value.tolist() == [200, 201, 210, 211]


def test_columns_sort_by_part_then_head_and_transpose() -> None:
    rows = torch.tensor([0, 1, 100, 101, 200, 201, 10, 11, 110, 111, 210, 211])
    weight = torch.stack((rows, rows + 1000), dim=1)
    (columns,) = QueryKeyValueColumns(heads=2).to_foreign(weight)
    expected = [0, 1, 10, 11, 100, 101, 110, 111, 200, 201, 210, 211]
    assert columns.tolist() == [expected, [1000 + number for number in expected]]


def test_padding_is_cut_and_comes_back_as_zeros() -> None:
    table = torch.arange(8.0).view(4, 2)
    transformation = WithoutPadding(vocab_size=3, padded_size=4)
    (real,) = transformation.to_foreign(table)
    assert real.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert transformation.to_ours((real,)).tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [0.0, 0.0]]
