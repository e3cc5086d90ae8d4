import pytest
import torch

from megatron_bio.kernels import bias_gelu as module
from megatron_bio.kernels.bias_gelu import bias_gelu, reference
from megatron_bio.kernels.library import Library
from tests.kernels.emulated import check, check_operation


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    tensors = torch.randn(shape, generator=g), torch.randn(shape[-1], generator=g)
    return tuple(tensor.to(dtype).requires_grad_() for tensor in tensors)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("bias_gelu", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("bias_gelu", emulated, range(100, 160))


@pytest.mark.parametrize("approximate", [False, True])
def test_far_from_zero(emulated: Library, approximate: bool) -> None:
    x, bias = torch.tensor([[-1e4, -30.0, -0.0, 30.0, 1e4]]), torch.zeros(5)
    y = module.launch_forward(emulated, x, bias, approximate)
    torch.testing.assert_close(y, torch.tensor([[0.0, 0.0, 0.0, 30.0, 1e4]]))
    gradient, _ = module.launch_backward(emulated, torch.ones_like(x), x, bias, approximate)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0, 0.5, 1.0, 1.0]]))


def test_no_rows(emulated: Library) -> None:
    x, bias = (tensor.detach() for tensor in inputs(0, 16, dtype=torch.float32))
    assert module.launch_forward(emulated, x, bias, True).shape == x.shape
    of_x, of_bias = module.launch_backward(emulated, x, x, bias, True)
    assert of_x.shape == x.shape and not of_bias.any()


@pytest.mark.parametrize("approximate", [False, True])
def test_gradients(approximate: bool) -> None:
    assert torch.autograd.gradcheck(lambda *t: bias_gelu(*t, approximate), inputs(3, 2, 5))
    x, bias = inputs(3, 2, 5)
    torch.testing.assert_close(bias_gelu(x, bias, approximate), reference(x, bias, approximate))


def test_operation_is_well_formed() -> None:
    check_operation(torch.ops.megatron_bio.bias_gelu.default, (*inputs(3, 5, dtype=torch.float32), True))
    transposed = inputs(3, 2, 5)[0].detach().transpose(0, 1).requires_grad_()
    check_operation(torch.ops.megatron_bio.bias_gelu.default, (transposed, inputs(1, 5)[1], False))
