"""Boundaries of sequences as plain loops find them, and attention by them as by the mask."""

import itertools
import random
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.attention import varlen

from megatron_bio.kernels import attention as attention_module
from megatron_bio.kernels import variable_length
from megatron_bio.kernels.attention import AttentionDropout, attention, attention_mask, attention_pattern
from megatron_bio.kernels.dropout import DropoutPlace, sample_keys
from megatron_bio.kernels.variable_length import (
    obstacle_of_machine,
    obstacle_of_model,
    sequence_boundaries,
    variable_length_attention,
)
from tests.kernels.varlen_on_cpu import varlen_on_cpu


def by_loops(segment_ids: Tensor, sequences_per_row: int) -> list[int]:
    rows, length = segment_ids.shape
    boundaries = []
    for row, ids in enumerate(segment_ids.tolist()):
        for column in range(length):
            if column == 0 or ids[column] != ids[column - 1]:
                boundaries.append(row * length + column)
    missing = rows * sequences_per_row + 1 - len(boundaries)
    return boundaries + [rows * length] * missing


def random_rows(seed: int, rows: int, length: int, most: int) -> Tensor:
    """Return segment ids of full rows, rows with padding, with one sample, with `most`, and of padding alone."""
    draw = random.Random(seed)
    segments = torch.zeros(rows, length, dtype=torch.int32)
    for row in range(rows):
        samples = draw.choice((0, 1, most, draw.randint(1, most)))
        real = draw.choice((length, draw.randint(samples, length)))
        cuts = [0, *sorted(draw.sample(range(1, real), samples - 1)), real] if samples else []
        for number, (start, end) in enumerate(itertools.pairwise(cuts)):
            segments[row, start:end] = number + 1
    return segments


@pytest.mark.parametrize("seed", range(30))
def test_boundaries_are_those_of_loops_and_of_fixed_length(seed: int) -> None:
    most = (1, 3, 16)[seed % 3]
    segments = random_rows(seed, rows=1 + seed % 7, length=64, most=most)
    boundaries = sequence_boundaries(segments, most + 1)
    assert boundaries.dtype == torch.int32
    assert boundaries.tolist() == by_loops(segments, most + 1)
    assert len(boundaries) == len(segments) * (most + 1) + 1


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([[1, 1, 2, 2]], [0, 2, 4, 4]),
        ([[1, 2, 3, 0]], [0, 1, 2, 3, 4]),
        ([[0, 0, 0, 0]], [0, 4, 4, 4]),
        # The number that a row ends with and the next begins with are two sequences.
        ([[1, 1, 1, 1], [1, 1, 1, 1]], [0, 4, 8, 8, 8, 8, 8]),
        ([[1, 1, 0, 0], [0, 0, 0, 0]], [0, 2, 4, 8, 8, 8, 8]),
    ],
)
def test_boundaries_of_rows_that_one_can_see(segments: list[list[int]], expected: list[int]) -> None:
    room = 4 if len(expected) == 5 else 3
    assert sequence_boundaries(torch.tensor(segments), room)[: len(expected)].tolist() == expected


def test_as_many_sequences_as_there_is_room_for() -> None:
    assert sequence_boundaries(torch.tensor([[1, 2, 3, 0], [1, 2, 3, 0]]), 4).tolist() == list(range(9))


@pytest.mark.parametrize("rows", [[[1, 2, 3, 0]], [[1, 2, 3, 4], [1, 2, 3, 0]]])
def test_more_sequences_than_room_are_an_error(rows: list[list[int]]) -> None:
    with pytest.raises(RuntimeError, match="more than the 3 sequences"):
        sequence_boundaries(torch.tensor(rows), 3)


def projected(rows: int, length: int, heads: int = 2, size: int = 8) -> list[Tensor]:
    """Return query, key and value as `SelfAttention.project` does: views of one tensor, sequence first."""
    fused = torch.randn(length, rows, heads, 3, size, generator=torch.Generator().manual_seed(1))
    return list(fused.requires_grad_().permute(3, 1, 2, 0, 4))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_that_of_the_mask(causal: bool) -> None:
    segments = random_rows(5, rows=5, length=32, most=6)
    states = projected(5, 32)
    gradient = torch.randn(5, 2, 32, 8, generator=torch.Generator().manual_seed(2))
    expected = attention(*states, attention_pattern(segments, causal, 0), None)
    with varlen_on_cpu() as calls:
        found = attention(*states, attention_pattern(segments, causal, 7), None)
        gradients = torch.autograd.grad(found, states, gradient)
    assert calls == [5 * 7 + 1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, states, gradient), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_no_mask_is_made_where_boundaries_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_module, "attention_mask", None)
    assert attention_pattern(torch.ones(2, 8), True, 1).mask is None


def test_dropout_is_not_left_out_silently() -> None:
    states, pattern = projected(1, 8), attention_pattern(torch.ones(1, 8), True, 1)
    dropout = AttentionDropout(DropoutPlace(0.1, sample_keys(0, torch.arange(1)), 1, 1), 0)
    with pytest.raises(AssertionError, match="no dropout"):
        attention(*states, pattern, dropout)


@pytest.mark.parametrize(("causal", "expected"), [(False, {}), (True, {"is_causal": True})])
def test_causal_is_said_as_an_older_torch_takes_it(
    causal: bool, expected: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, bool]] = []

    def old(query: Tensor, *_: object, **options: bool) -> Tensor:
        said.append(options)
        return query

    monkeypatch.setattr(variable_length, "_CAUSAL", {"is_causal": True})
    monkeypatch.setattr(varlen, "varlen_attn", old)
    query, key, value = projected(2, 8)
    boundaries = sequence_boundaries(torch.ones(2, 8), 1)
    assert torch.equal(variable_length_attention(query, key, value, boundaries, causal), query)
    assert said == [expected]


def test_what_the_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacle_of_machine("cpu") == "it runs on CUDA devices, and this is cpu"
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert obstacle_of_machine("cuda") == "it needs compute capability 8.0, and the device has 7.5"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert obstacle_of_machine("cuda") == ""
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert "without flash attention" in obstacle_of_machine("cuda")
    monkeypatch.setattr(varlen, "varlen_attn", lambda query: query)
    assert "does not take window_size" in obstacle_of_machine("cuda")
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", SimpleNamespace())
    assert "has no torch.nn.attention.varlen" in obstacle_of_machine("cuda")


@pytest.mark.parametrize(
    ("dtype", "head", "dropout", "said"),
    [
        (torch.bfloat16, 64, 0.0, ""),
        (torch.float16, 256, 0.0, ""),
        (torch.bfloat16, 64, 0.1, "attention dropout is 0.1"),
        (torch.float32, 64, 0.0, "this is float32"),
        (torch.bfloat16, 20, 0.0, "this is 20"),
        (torch.bfloat16, 264, 0.0, "this is 264"),
    ],
)
def test_what_the_model_asks_for_is_said(dtype: torch.dtype, head: int, dropout: float, said: str) -> None:
    reason = obstacle_of_model(dtype, head, dropout)
    assert said in reason and bool(said) == bool(reason)


def test_the_mask_and_the_boundaries_see_the_same() -> None:
    segments = random_rows(9, rows=4, length=24, most=5)
    mask = attention_mask(segments, False)[:, 0]
    ends = sequence_boundaries(segments, 6).tolist()
    seen = torch.zeros(4 * 24, 4 * 24, dtype=torch.bool)
    for start, end in itertools.pairwise(ends):
        seen[start:end, start:end] = True
    assert torch.equal(seen, torch.block_diag(*mask))
