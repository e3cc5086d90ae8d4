import pytest
import torch

from megatron_bio.kernels import bias_dropout_add as module
from megatron_bio.kernels.bias_dropout_add import bias_dropout_add, reference
from megatron_bio.kernels.dropout import DropoutPlace, hidden_dropout, sample_keys
from megatron_bio.kernels.library import Library
from tests.kernels.emulated import check, check_operation


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    sizes = shape, shape[-1:], shape
    return tuple(torch.randn(size, generator=g).to(dtype).requires_grad_() for size in sizes)


def place(rows: int, probability: float = 0.4, layer: int | torch.Tensor = 3) -> DropoutPlace:
    return DropoutPlace(probability, sample_keys(5, torch.arange(rows) + 2**40), layer, 2)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("bias_dropout_add", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("bias_dropout_add", emulated, range(100, 160))


@pytest.mark.parametrize("columns", [64, 61])
@pytest.mark.parametrize("layer", [0, 7, 2**40, torch.tensor(2**40)], ids=str)
def test_the_mask_is_that_of_every_layout_bit_for_bit(
    emulated: Library, columns: int, layer: int | torch.Tensor
) -> None:
    # The last element's number is beyond 31 bits.
    x, first, where = torch.ones(6, 3, columns), 2**31 // columns, place(3, 0.4, layer)
    y = module.launch_forward(emulated, x, torch.zeros(columns), torch.zeros_like(x), where, first)
    expected = hidden_dropout(x, 0.4, where.keys, layer=layer, site=2, first_position=first)
    assert torch.equal(y, expected)
    backward, _ = module.launch_backward(emulated, x, where, first)
    assert torch.equal(backward, expected)
    part = module.launch_forward(
        emulated, x[4:], torch.zeros(columns), torch.zeros_like(x[4:]), where, first + 4
    )
    assert torch.equal(part, y[4:])


def test_what_is_dropped_may_be_no_number(emulated: Library) -> None:
    x, where = torch.ones(4, 2, 16), place(2)
    dropped = hidden_dropout(x, 0.4, where.keys, layer=3, site=2, first_position=0) == 0
    y = module.launch_forward(
        emulated, x.masked_fill(dropped, torch.inf), torch.zeros(16), torch.zeros_like(x), where, 0
    )
    assert torch.isfinite(y).all()


def test_no_rows(emulated: Library) -> None:
    x, bias, residual = (tensor.detach() for tensor in inputs(0, 2, 16, dtype=torch.float32))
    assert module.launch_forward(emulated, x, bias, residual, place(2), 0).shape == x.shape
    of_x, of_bias = module.launch_backward(emulated, x, place(2), 0)
    assert of_x.shape == x.shape and not of_bias.any()


@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_gradients(probability: float) -> None:
    where = place(2, probability)
    assert torch.autograd.gradcheck(lambda *t: bias_dropout_add(*t, where, 7), inputs(3, 2, 5))
    tensors = inputs(3, 2, 5)
    torch.testing.assert_close(bias_dropout_add(*tensors, where, 7), reference(*tensors, where, 7))


@pytest.mark.parametrize("layer", [3, torch.tensor(3)], ids=["number", "tensor"])
@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_operation_is_well_formed(layer: int | torch.Tensor, probability: float) -> None:
    arguments = (*inputs(3, 2, 5, dtype=torch.float32), *place(2, probability, layer).arguments, 7)
    check_operation(torch.ops.megatron_bio.bias_dropout_add.default, arguments)
