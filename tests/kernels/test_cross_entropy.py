import pytest
import torch
import torch.nn.functional as F

from megatron_bio.kernels.cross_entropy import (
    gradient_reference,
    launch_gradient,
    launch_statistics,
    put_gradient,
    statistics,
    statistics_reference,
)
from megatron_bio.kernels.library import Library
from tests.kernels.emulated import check, check_operation


def inputs(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(rows, columns, generator=g) * 5, torch.randint(0, columns, (rows,), generator=g)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("cross_entropy", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("cross_entropy", emulated, range(100, 160))


def test_the_references_are_torch_s_cross_entropy_and_its_gradient() -> None:
    logits, targets = inputs(6, 11)
    leaf = logits.double().requires_grad_()
    losses = F.cross_entropy(leaf, targets, reduction="none")
    weights = torch.arange(1.0, 7.0).double()
    (losses * weights).sum().backward()
    largest, best, total, target_logit = statistics_reference(leaf.detach(), targets, 0, 11)
    torch.testing.assert_close(total.log() + largest - target_logit, losses.detach())
    assert torch.equal(best, leaf.argmax(-1))
    found = gradient_reference(leaf.detach(), targets, largest, total, weights, 0, 11)
    torch.testing.assert_close(found, leaf.grad)


def test_of_equal_logits_the_first_is_the_best(emulated: Library) -> None:
    logits = torch.zeros(3, 700)
    logits[1, [5, 300, 699]] = 2.0
    logits[2, :] = -torch.inf
    logits[2, 400:] = 1.0
    best = launch_statistics(emulated, logits, torch.zeros(3, dtype=torch.int64), 1000, 700)[1]
    assert best.tolist() == [1000, 1005, 1400]


@pytest.mark.parametrize("place", [0, 40, 511])
def test_no_number_and_infinities_stay_visible(emulated: Library, place: int) -> None:
    logits, targets = inputs(3, 512)
    logits[0, place], logits[1, place], logits[2, place] = torch.nan, torch.inf, -torch.inf
    targets[:] = 7
    largest, _, total, _ = launch_statistics(emulated, logits, targets, 0, 512)
    assert (largest[0] + total[0]).isnan() and largest[1] == torch.inf
    assert total[2].isfinite() and largest[2].isfinite()


def test_targets_anywhere_else_read_nothing(emulated: Library) -> None:
    logits, targets = torch.full((3, 8), 3.0), torch.tensor([-(2**40), 2**40, 108])
    assert launch_statistics(emulated, logits, targets, 100, 8)[3].tolist() == [0.0, 0.0, 0.0]


def test_no_rows(emulated: Library) -> None:
    logits, targets = inputs(0, 8)
    found = launch_statistics(emulated, logits, targets, 0, 8)
    assert all(tensor.shape == (0,) for tensor in found)
    launch_gradient(emulated, logits, targets, found[0], found[2], found[3], 0, 8)


@pytest.mark.parametrize("real", [0, 9, 11])
def test_operations_are_well_formed(real: int) -> None:
    logits, targets = inputs(6, 11)
    check_operation(torch.ops.megatron_bio.cross_entropy_statistics.default, (logits, targets, 0, real))
    numbers = torch.ones(6), torch.full((6,), 4.0), torch.rand(6)
    check_operation(
        torch.ops.megatron_bio.cross_entropy_gradient.default, (logits, targets, *numbers, 0, real)
    )


def test_the_gradient_takes_the_logits_place() -> None:
    logits, targets = inputs(6, 11)
    largest, _, total, _ = statistics(logits, targets, 0, 9)
    expected = gradient_reference(logits, targets, largest, total, torch.ones(6), 0, 9)
    version = logits._version
    put_gradient(logits, targets, largest, total, torch.ones(6), 0, 9)
    assert torch.equal(logits, expected)
    assert logits._version > version, "autograd would not notice that the logits are gone"
