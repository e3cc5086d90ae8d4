import pytest
import torch

from megatron_bio.kernels import rows_at as module
from megatron_bio.kernels.library import Library
from megatron_bio.kernels.rows_at import reference, rows_at
from tests.kernels.emulated import check, check_operation


def inputs(
    length: int, samples: int, slots: int, columns: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(length, samples, columns, generator=g).to(dtype).requires_grad_()
    return hidden, torch.randint(0, length, (samples, slots), generator=g)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("rows_at", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("rows_at", emulated, range(100, 160))


@pytest.mark.parametrize("columns", [24, 261])
def test_repeated_positions_are_summed_in_the_order_of_the_slots(emulated: Library, columns: int) -> None:
    slots, order = 70, torch.randperm(70, generator=torch.Generator().manual_seed(1))
    # 3e7 + 1 is not a number of float32: each order has a sum of its own.
    numbers = torch.tensor([1.0, 3e7, -3e7, 1.0]).repeat(18)[:slots][order]
    gradient = numbers[None, :, None].repeat(2, 1, columns)
    at = torch.zeros(2, slots, dtype=torch.int64)
    of_hidden = module.launch_backward(emulated, gradient, at, 3)
    total = torch.zeros(())
    for number in numbers:
        total = total + number
    assert (of_hidden[0] == total).all() and total != numbers.double().sum() and not of_hidden[1:].any()


@pytest.mark.parametrize("columns", [16, 5])
@pytest.mark.parametrize("wrong", [-1, 6, 2**40, -(2**40)])
def test_a_position_outside_is_no_number_and_touches_nothing(
    emulated: Library, wrong: int, columns: int
) -> None:
    hidden, at = inputs(6, 2, 40, columns, torch.float32)
    at[1, 35] = wrong
    y = module.launch_forward(emulated, hidden.detach(), at)
    assert y[1, 35].isnan().all() and y.isnan().sum() == columns
    gradient = torch.randn_like(y)
    found = module.launch_backward(emulated, gradient, at, 6)
    gradient[1, 35], at[1, 35] = 0.0, 0
    assert torch.equal(found, module.launch_backward(emulated, gradient, at, 6))


def test_no_slots_no_rows_and_no_columns(emulated: Library) -> None:
    for samples, slots, columns in ((2, 0, 8), (0, 3, 8), (2, 3, 0)):
        hidden, at = inputs(4, samples, slots, columns, torch.float32)
        y = module.launch_forward(emulated, hidden.detach(), at)
        assert y.shape == (samples, slots, columns)
        of_hidden = module.launch_backward(emulated, y, at, 4)
        assert of_hidden.shape == hidden.shape and not of_hidden.any()


def test_tensors_that_are_not_contiguous(emulated: Library) -> None:
    hidden, at = inputs(6, 5, 4, 8, torch.float32)
    turned, turned_at = hidden.detach().transpose(0, 1).contiguous().transpose(0, 1), at.t().contiguous().t()
    assert not turned.is_contiguous() and not turned_at.is_contiguous()
    assert torch.equal(module.launch_forward(emulated, turned, turned_at), reference(hidden, at))


def test_gradients() -> None:
    hidden, at = inputs(5, 2, 7, 3)
    at[0, 0] = -2  # torch counts it from the end
    assert torch.autograd.gradcheck(lambda x: rows_at(x, at), hidden)
    assert torch.equal(rows_at(hidden, at), reference(hidden, at))
    at[1, 1] = 5
    with pytest.raises(IndexError):
        rows_at(hidden, at)


def test_operation_is_well_formed() -> None:
    hidden, at = inputs(5, 2, 7, 3, torch.float32)
    check_operation(torch.ops.megatron_bio.rows_at.default, (hidden, at))
    turned = hidden.detach().transpose(0, 2).requires_grad_()
    check_operation(torch.ops.megatron_bio.rows_at.default, (turned, at % 3))
