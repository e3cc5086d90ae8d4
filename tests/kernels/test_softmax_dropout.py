import pytest
import torch

from megatron_bio.kernels import softmax_dropout as module
from megatron_bio.kernels.dropout import DropoutPlace, attention_dropout, sample_keys
from megatron_bio.kernels.fallback import FallbackWarning
from megatron_bio.kernels.library import LONGEST_ROW, Library
from megatron_bio.kernels.softmax_dropout import reference, softmax_dropout
from tests.kernels.emulated import check, check_operation


def inputs(keys: int = 6, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, keys, generator=g).to(dtype).requires_grad_()
    mask = torch.rand(2, 1, 4, keys, generator=g) > 0.4
    mask[..., 1] = True
    return scores, mask


def place(probability: float = 0.4, layer: int | torch.Tensor = 3) -> DropoutPlace:
    return DropoutPlace(probability, sample_keys(5, torch.arange(2)), layer, 1)


def test_kernel_equals_the_reference(emulated: Library) -> None:
    check("softmax_dropout", emulated, range(9))


@pytest.mark.slow
def test_kernel_equals_the_reference_in_many_cases(emulated: Library) -> None:
    check("softmax_dropout", emulated, range(100, 160))


@pytest.mark.parametrize("keys", [64, 61])
def test_the_mask_is_that_of_every_layout_bit_for_bit(emulated: Library, keys: int) -> None:
    scores, mask = torch.zeros(2, 3, 5, keys), torch.ones(2, 1, 5, keys, dtype=torch.bool)
    _, dropped = module.launch_forward(emulated, scores, mask, 1.0, place(), 4)
    share = torch.full_like(scores, 1.0 / keys)
    expected = attention_dropout(share, 0.4, place().keys, layer=3, site=1, first_head=4)
    assert torch.equal(dropped == 0, expected == 0)
    _, part = module.launch_forward(emulated, scores[:, :2].contiguous(), mask, 1.0, place(), 5)
    assert torch.equal(part, dropped[:, 1:])


def test_a_query_that_sees_nothing_is_no_number_as_in_the_reference(emulated: Library) -> None:
    scores, mask = torch.zeros(1, 1, 2, 40), torch.ones(1, 1, 2, 40, dtype=torch.bool)
    mask[..., 0, :] = False
    nothing = DropoutPlace(0.0, sample_keys(5, torch.arange(1)), 3, 1)
    found, _ = module.launch_forward(emulated, scores, mask, 1.0, nothing, 0)
    torch.testing.assert_close(found, reference(scores, mask, 1.0, nothing, 0), equal_nan=True)


def test_longer_rows_go_to_the_reference() -> None:
    scores, mask = torch.zeros(1, 1, 1, LONGEST_ROW + 1), torch.ones(1, 1, 1, 1, dtype=torch.bool)
    with pytest.warns(FallbackWarning, match="8193 keys; it takes up to 8192"):
        softmax_dropout(scores, mask, 1.0, place(0.0), 0)


@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_gradients(probability: float) -> None:
    scores, mask = inputs()
    where = place(probability)
    assert torch.autograd.gradcheck(lambda x: softmax_dropout(x, mask, 0.7, where, 2), scores)
    torch.testing.assert_close(
        softmax_dropout(scores, mask, 0.7, where, 2), reference(scores, mask, 0.7, where, 2)
    )


@pytest.mark.parametrize("layer", [3, torch.tensor(3)], ids=["number", "tensor"])
@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_operation_is_well_formed(layer: int | torch.Tensor, probability: float) -> None:
    scores, mask = inputs(dtype=torch.float32)
    arguments = (scores, mask, 0.7, *place(probability, layer).arguments, 2)
    check_operation(torch.ops.megatron_bio.softmax_dropout.default, arguments)


def test_a_mask_may_be_the_same_for_all_rows(emulated: Library) -> None:
    scores, mask = inputs(dtype=torch.float32)
    found, _ = module.launch_forward(emulated, scores.detach(), mask[:1], 1.0, place(0.0), 0)
    torch.testing.assert_close(found, reference(scores, mask[:1], 1.0, place(0.0), 0))
