from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.kernels import embedding_sum as module
from megatron_bio.kernels.embedding_sum import CHUNK, embedding_sum, reference
from megatron_bio.kernels.library import KernelError, Library
from tests.kernels.conftest import ROOT
from tests.kernels.emulated import check, check_operation, set_reversed


def inputs(
    samples: int,
    positions: int,
    columns: int,
    rows: Sequence[int] = (11, 7, 2),
    dtype: torch.dtype = torch.float64,
) -> tuple[list[Tensor], list[Tensor]]:
    g = torch.Generator().manual_seed(0)
    ids = [torch.randint(0, count, (samples, positions), generator=g) for count in rows]
    return ids, [torch.randn(count, columns, generator=g).to(dtype).requires_grad_() for count in rows]


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("embedding_sum", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("embedding_sum", emulated, range(100, 160))


def test_the_chunk_is_that_of_the_source() -> None:
    assert f"CHUNK = {CHUNK};" in (ROOT / "csrc" / "embedding_sum.cu").read_text(encoding="utf-8")


# Runs that end with a chunk, one entry before and one behind; that fill chunks; that are alone in them.
@pytest.mark.parametrize(
    "lengths", [(32, 32), (31, 1, 32), (33, 31, 64), (1, 95, 1), (1,) * 70, (200,), (5, 600, 3)]
)
@pytest.mark.parametrize("columns", [8, 3])
def test_every_cut_of_runs_into_chunks(emulated: Library, lengths: tuple[int, ...], columns: int) -> None:
    ids = torch.repeat_interleave(torch.arange(len(lengths)) * 2, torch.tensor(lengths))[None]
    mixed = ids[:, torch.randperm(ids.shape[1], generator=torch.Generator().manual_seed(3))]
    rows = [2 * len(lengths), 4]
    gradient = torch.randn(ids.shape[1], 1, columns, generator=torch.Generator().manual_seed(4))
    found = module.launch_backward(emulated, gradient, [mixed, mixed % 3], rows, torch.float32)
    set_reversed(emulated, True)
    again = module.launch_backward(emulated, gradient, [mixed, mixed % 3], rows, torch.float32)
    set_reversed(emulated, False)
    for numbers, table, other in zip((mixed, mixed % 3), found, again, strict=True):
        expected = torch.zeros(table.shape, dtype=torch.float64)
        expected.index_add_(0, numbers[0], gradient[:, 0].double())
        torch.testing.assert_close(table.double(), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(table, other)


def test_gradients_in_half_precision_are_rounded_once(emulated: Library) -> None:
    # 300 ones: bfloat16 itself stops counting at 256.
    ids, gradient = torch.zeros(3, 100, dtype=torch.int64), torch.ones(100, 3, 8, dtype=torch.bfloat16)
    for table in module.launch_backward(emulated, gradient, [ids, ids], [2, 1], torch.bfloat16):
        assert (table[0] == 300).all() and not table[1:].any()


@pytest.mark.parametrize("columns", [16, 5])
@pytest.mark.parametrize("table", [0, 1, 2])
@pytest.mark.parametrize("wrong", [-1, 11, 2**40, -(2**40)])
@pytest.mark.parametrize("where", [slice(35, 36), slice(2, 37)], ids=["one", "many"])
def test_an_id_that_no_row_has_is_no_number_and_touches_nothing(
    emulated: Library, where: slice, wrong: int, table: int, columns: int
) -> None:
    ids, tables = inputs(2, 40, columns, dtype=torch.float32)
    ids[table][:, where] = wrong
    y = module.launch_forward(emulated, ids, [each.detach() for each in tables], torch.float32)
    assert y[where].isnan().all() and y.isnan().sum() == y[where].numel()
    gradient, rows = torch.randn(40, 2, columns, generator=torch.Generator().manual_seed(5)), [11, 7, 2]
    for numbers, count, found in zip(
        ids, rows, module.launch_backward(emulated, gradient, ids, rows, torch.float32), strict=True
    ):
        known = (numbers.t() >= 0) & (numbers.t() < count)
        expected = torch.zeros(count, columns).index_add_(0, numbers.t()[known], gradient[known])
        torch.testing.assert_close(found, expected)


def test_nothing_to_add(emulated: Library) -> None:
    for samples, positions, columns in ((0, 4, 8), (2, 0, 8), (2, 4, 0)):
        ids, tables = inputs(samples, positions, columns, dtype=torch.float32)
        y = module.launch_forward(emulated, ids, [table.detach() for table in tables], torch.float32)
        assert y.shape == (positions, samples, columns)
        found = module.launch_backward(emulated, y, ids, [11, 7, 2], torch.float32)
        assert [each.shape for each in found] == [each.shape for each in tables]
        assert not any(each.any() for each in found)


def test_other_dtypes_are_refused(emulated: Library) -> None:
    ids, tables = inputs(2, 4, 8, dtype=torch.bfloat16)
    tables = [table.detach() for table in tables]
    with pytest.raises(KernelError, match="embedding_sum_forward did not start"):
        module.launch_forward(emulated, ids, tables, torch.float16)
    with pytest.raises(KernelError, match=r"given torch\.bfloat16 on cpu and torch\.float32"):
        module.launch_forward(emulated, ids, [tables[0], tables[1].float(), tables[2]], torch.bfloat16)


def test_the_reference_is_what_the_layers_compute() -> None:
    ids, (words, positions, types) = inputs(2, 4, 8)
    expected = F.embedding(ids[0], words) + F.embedding(ids[1], positions) + F.embedding(ids[2], types)
    found = reference(ids, (words, positions, types), torch.float64)
    assert torch.equal(found, expected.transpose(0, 1))
    wrong = [ids[0], ids[1] + 7, ids[2]]
    with pytest.raises(IndexError):
        embedding_sum(wrong, [words, positions, types], torch.float64)


@pytest.mark.parametrize("rows", [(11, 7, 2), (11, 7)])
def test_gradients(rows: tuple[int, ...]) -> None:
    ids, tables = inputs(2, 4, 3, rows)
    assert torch.autograd.gradcheck(lambda *t: embedding_sum(ids, t, torch.float64), tables)
    torch.testing.assert_close(
        embedding_sum(ids, tables, torch.float64), reference(ids, tables, torch.float64)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [(11, 7, 2), (11, 7)])
def test_operation_is_well_formed(rows: tuple[int, ...], dtype: torch.dtype) -> None:
    ids, tables = inputs(2, 4, 3, rows, torch.float32)
    check_operation(torch.ops.megatron_bio.embedding_sum.default, (ids, tables, dtype))
