import pytest
import torch

from megatron_bio.kernels import layer_norm as module
from megatron_bio.kernels.fallback import FallbackWarning
from megatron_bio.kernels.layer_norm import layer_norm, reference
from megatron_bio.kernels.library import LONGEST_ROW, KernelError, Library
from tests.kernels.emulated import check, check_operation


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    tensors = torch.randn(shape, generator=g), *(torch.randn(shape[-1], generator=g) for _ in range(2))
    return tuple(tensor.to(dtype).requires_grad_() for tensor in tensors)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("layer_norm", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("layer_norm", emulated, range(100, 160))


@pytest.mark.parametrize("columns", [8191, LONGEST_ROW])
def test_the_longest_rows(emulated: Library, columns: int) -> None:
    x, weight, bias = (tensor.detach() for tensor in inputs(2, columns, dtype=torch.float32))
    y, mean, inverse = module.launch_forward(emulated, x, weight, bias, 1e-5)
    torch.testing.assert_close(y, reference(x, weight, bias, 1e-5))
    gradient, _, of_bias = module.launch_backward(emulated, x, x, weight, mean, inverse)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(of_bias, x.sum(0))


def test_longer_rows_are_refused_by_the_kernel_and_left_to_the_reference(emulated: Library) -> None:
    x, weight, bias = (tensor.detach() for tensor in inputs(1, LONGEST_ROW + 1, dtype=torch.float32))
    with pytest.raises(KernelError, match=r"layer_norm_forward did not start.*\(1, 8193\)"):
        module.launch_forward(emulated, x, weight, bias, 1e-5)
    with pytest.warns(FallbackWarning, match="rows of 8193 elements; it takes up to 8192"):
        assert torch.equal(layer_norm(x, weight, bias, 1e-5), reference(x, weight, bias, 1e-5))


def test_no_rows(emulated: Library) -> None:
    x, weight, bias = (tensor.detach() for tensor in inputs(0, 16, dtype=torch.float32))
    y, mean, inverse = module.launch_forward(emulated, x, weight, bias, 1e-5)
    gradients = module.launch_backward(emulated, x, x, weight, mean, inverse)
    assert y.shape == gradients[0].shape == x.shape
    assert not gradients[1].any() and not gradients[2].any()


def test_other_dtypes_are_refused(emulated: Library) -> None:
    x, weight, bias = (tensor.detach() for tensor in inputs(2, 16))
    with pytest.raises(KernelError, match="float64"):
        module.launch_forward(emulated, x, weight, bias, 1e-5)


def test_gradients() -> None:
    assert torch.autograd.gradcheck(lambda *t: layer_norm(*t, 1e-5), inputs(3, 2, 5))
    x, weight, bias = inputs(3, 2, 5)
    torch.testing.assert_close(layer_norm(x, weight, bias, 1e-5), reference(x, weight, bias, 1e-5))


def test_operation_is_well_formed() -> None:
    check_operation(torch.ops.megatron_bio.layer_norm.default, (*inputs(3, 5, dtype=torch.float32), 1e-5))
    transposed = inputs(3, 2, 5)[0].detach().transpose(0, 1).requires_grad_()
    check_operation(torch.ops.megatron_bio.layer_norm.default, (transposed, *inputs(1, 5)[1:], 1e-5))
