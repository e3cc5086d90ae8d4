from typing import Any

import pytest
import torch
from torch import Tensor

from megatron_bio.kernels import bias_dropout_add as addition
from megatron_bio.kernels import bias_dropout_add_norm as module
from megatron_bio.kernels import layer_norm as norm
from megatron_bio.kernels.bias_dropout_add_norm import bias_dropout_add_norm, reference
from megatron_bio.kernels.dropout import DropoutPlace, sample_keys
from megatron_bio.kernels.fallback import FallbackWarning
from megatron_bio.kernels.library import DTYPES, LONGEST_ROW, KernelError, Library
from tests.kernels.emulated import check, check_operation

EPSILON = 1e-5


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return x, bias, residual, weight and shift."""
    g = torch.Generator().manual_seed(0)
    sizes = shape, shape[-1:], shape, shape[-1:], shape[-1:]
    return [torch.randn(size, generator=g).to(dtype).requires_grad_() for size in sizes]


def plain(*shape: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [tensor.detach() for tensor in inputs(*shape, dtype=dtype)]


def place(rows: int, probability: float = 0.4, layer: int | Tensor = 3) -> DropoutPlace:
    return DropoutPlace(probability, sample_keys(5, torch.arange(rows) + 2**40), layer, 2)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("bias_dropout_add_norm", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("bias_dropout_add_norm", emulated, range(100, 160))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [264, 261])
def test_it_is_the_two_kernels_one_after_the_other_bit_for_bit(
    emulated: Library, columns: int, dtype: torch.dtype
) -> None:
    where, first = place(3), 11
    x, bias, residual, weight, shift = plain(7, 3, columns, dtype=dtype)
    total, y, mean, inverse = module.launch_forward(
        emulated, x, bias, residual, weight, shift, where, first, EPSILON
    )
    sums = addition.launch_forward(emulated, x, bias, residual, where, first)
    assert torch.equal(total, sums)
    expected = norm.launch_forward(emulated, sums, weight, shift, EPSILON)
    assert all(torch.equal(*pair) for pair in zip((y, mean, inverse), expected, strict=True))
    of_x, _, *found = module.launch_backward(emulated, None, x, total, weight, mean, inverse, where, first)
    assert all(
        torch.equal(*pair)
        for pair in zip(found, norm.launch_backward(emulated, x, total, weight, mean, inverse), strict=True)
    )
    if dtype is torch.float32:  # the two round in between
        assert torch.equal(of_x, addition.launch_backward(emulated, found[0], where, first)[0])


def test_a_slice_of_the_sequence_has_its_part_of_the_mask(emulated: Library) -> None:
    where, tensors = place(2), plain(6, 2, 40)
    whole = module.launch_forward(emulated, *tensors, where, 0, EPSILON)
    x, bias, residual, *vectors = tensors
    part = module.launch_forward(emulated, x[4:], bias, residual[4:], *vectors, where, 4, EPSILON)
    assert all(torch.equal(a, b[4:]) for a, b in zip(part, whole, strict=True))


def test_what_is_dropped_may_be_no_number(emulated: Library) -> None:
    where, (x, bias, *others) = place(2), plain(4, 2, 16)
    dropped = addition.reference(torch.ones_like(x), 0 * bias, 0 * x, where, 0) == 0
    found = module.launch_forward(
        emulated, x.masked_fill(dropped, torch.inf), bias, *others, where, 0, EPSILON
    )
    assert all(torch.isfinite(tensor).all() for tensor in found)


@pytest.mark.parametrize("columns", [8191, LONGEST_ROW])
def test_the_longest_rows(emulated: Library, columns: int) -> None:
    where, (x, bias, residual, weight, shift) = place(1), plain(2, 1, columns)
    total, y, mean, inverse = module.launch_forward(
        emulated, x, bias, residual, weight, shift, where, 0, EPSILON
    )
    expected = reference(x, bias, residual, weight, shift, where, 0, EPSILON)
    torch.testing.assert_close((total, y), expected)
    _, of_bias, _, _, of_shift = module.launch_backward(
        emulated, x, x, total, weight, mean, inverse, where, 0
    )
    assert torch.isfinite(of_bias).all()
    torch.testing.assert_close(of_shift, x.sum((0, 1)))


def test_longer_rows_are_refused_by_the_kernel_and_left_to_the_reference(emulated: Library) -> None:
    arguments = (*plain(1, 1, LONGEST_ROW + 1), place(1), 0, EPSILON)
    with pytest.raises(KernelError, match=r"bias_dropout_add_norm_forward did not start.*\(1, 1, 8193\)"):
        module.launch_forward(emulated, *arguments)
    with pytest.warns(FallbackWarning, match="rows of 8193 elements; it takes up to 8192"):
        found = bias_dropout_add_norm(*arguments)
    assert all(torch.equal(*pair) for pair in zip(found, reference(*arguments), strict=True))


def test_no_rows(emulated: Library) -> None:
    tensors, where = plain(0, 2, 16), place(2)
    total, y, mean, inverse = module.launch_forward(emulated, *tensors, where, 0, EPSILON)
    assert total.shape == y.shape == (0, 2, 16)
    of_x, of_bias, of_residual, of_weight, of_shift = module.launch_backward(
        emulated, None, y, total, tensors[3], mean, inverse, where, 0
    )
    assert of_x.shape == of_residual.shape == total.shape
    assert not of_bias.any() and not of_weight.any() and not of_shift.any()


USES = {"both": lambda total, y: total.sin() + y, "y": lambda _, y: y, "total": lambda total, _: total}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_gradients(probability: float, use: str) -> None:
    def call(*tensors: Tensor) -> Tensor:
        return USES[use](*bias_dropout_add_norm(*tensors, place(2, probability), 7, EPSILON))

    used = inputs(3, 2, 5) if use != "total" else inputs(3, 2, 5)[:3]
    others = plain(3, 2, 5, dtype=torch.float64)[len(used) :]
    assert torch.autograd.gradcheck(lambda *t: call(*t, *others), used)


@pytest.mark.parametrize("use", USES)
def test_the_kernel_gets_the_gradients_of_what_is_used(
    use: str, emulated: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU the way that a CUDA tensor takes, with the emulated library."""
    given: list[Any] = []
    backward = module._backward._backend_fns["cuda"]

    def watched(of_total: Tensor | None, *others: Any) -> Any:
        given.append(of_total)
        return backward(of_total, *others)

    tensors = inputs(3, 2, 21, dtype=torch.float32)
    where = place(2)
    USES[use](*reference(*tensors, where, 7, EPSILON)).cos().sum().backward()
    expected = [tensor.grad for tensor in tensors]
    monkeypatch.setattr(module, "cuda_library", lambda: emulated)
    monkeypatch.setitem(module._forward._backend_fns, "cpu", module._forward._backend_fns["cuda"])
    monkeypatch.setitem(module._backward._backend_fns, "cpu", watched)
    again = inputs(3, 2, 21, dtype=torch.float32)
    USES[use](*bias_dropout_add_norm(*again, where, 7, EPSILON)).cos().sum().backward()
    for leaf, gradient in zip(again, expected, strict=True):
        torch.testing.assert_close(leaf.grad, torch.zeros_like(leaf) if gradient is None else gradient)
    assert [gradient is None for gradient in given] == [use == "y"]


@pytest.mark.parametrize("layer", [3, torch.tensor(3)], ids=["number", "tensor"])
@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_operation_is_well_formed(layer: int | Tensor, probability: float) -> None:
    arguments = (*place(2, probability, layer).arguments, 7, EPSILON)
    operation = torch.ops.megatron_bio.bias_dropout_add_norm.default
    check_operation(operation, (*inputs(3, 2, 5, dtype=torch.float32), *arguments))
    x, *others = inputs(3, 2, 5, dtype=torch.float32)
    transposed = x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    check_operation(operation, (transposed, *others, *arguments))


def test_the_backward_is_well_formed() -> None:
    x, _, _, weight, _ = plain(3, 2, 5)
    mean, inverse = x.mean(-1), 1.0 / x.std(-1)
    for of_total in (x, None):
        arguments = (of_total, x, x, weight, mean, inverse, *place(2).arguments, 7)
        check_operation(torch.ops.megatron_bio.bias_dropout_add_norm_backward.default, arguments)
