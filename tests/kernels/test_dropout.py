import numpy as np
import pytest
import torch

from megatron_bio.kernels.dropout import attention_dropout, hidden_dropout, sample_keys
from tests.references import dropout as reference


def keys(rows: int, seed: int = 3, first: int = 0) -> torch.Tensor:
    return sample_keys(seed, torch.arange(first, first + rows))


def test_keys_and_masks_equal_the_unsigned_reference() -> None:
    ids = np.array([0, 1, 5, 2**40])
    ours = sample_keys(2**40 + 7, torch.from_numpy(ids))
    expected = reference.sample_keys(2**40 + 7, ids)
    assert (ours.numpy().view(np.uint64) == expected).all()
    kept = hidden_dropout(torch.ones(6, 4, 10), 0.3, ours, layer=9, site=3, first_position=0) != 0
    assert (kept.transpose(0, 1).flatten(1).numpy() == reference.keep(expected, 60, 0.3, 9, 3)).all()


def test_a_slice_of_the_sequence_has_its_part_of_the_mask() -> None:
    x = torch.ones(8, 3, 5)
    whole = hidden_dropout(x, 0.4, keys(3), layer=1, site=2, first_position=0)
    part = hidden_dropout(x[:2], 0.4, keys(3), layer=1, site=2, first_position=4)
    assert torch.equal(part, whole[4:6])


def test_a_rank_s_heads_have_their_part_of_the_mask() -> None:
    x = torch.ones(3, 4, 6, 6)
    whole = attention_dropout(x, 0.4, keys(3), layer=1, site=1, first_head=0)
    part = attention_dropout(x[:, :2], 0.4, keys(3), layer=1, site=1, first_head=2)
    assert torch.equal(part, whole[:, 2:])


def test_rows_do_not_depend_on_their_neighbours() -> None:
    x = torch.ones(8, 3, 5)
    together = hidden_dropout(x, 0.4, keys(3), layer=1, site=2, first_position=0)
    alone = hidden_dropout(x[:, :1], 0.4, keys(1, first=2), layer=1, site=2, first_position=0)
    assert torch.equal(alone[:, 0], together[:, 2])


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5])
def test_share_of_dropped_elements_and_their_scale(probability: float) -> None:
    x = torch.ones(512, 8, 256)
    y = hidden_dropout(x, probability, keys(8), layer=4, site=2, first_position=0)
    dropped = (y == 0).double().mean().item()
    deviation = (probability * (1 - probability) / x.numel()) ** 0.5
    assert abs(dropped - probability) < 5 * deviation
    assert y.max().item() == pytest.approx(1 / (1 - probability))


def test_masks_of_samples_layers_sites_and_neighbours_are_independent() -> None:
    def mask(sample: int, layer: int, site: int) -> torch.Tensor:
        x = torch.ones(128, 1, 512)
        y = hidden_dropout(x, 0.5, keys(1, first=sample), layer=layer, site=site, first_position=0)
        return (y.flatten() != 0).double() - 0.5

    base = mask(0, 1, 2)
    shifted = [base.roll(step) for step in (1, 2, 512, 4096)]
    others = [mask(sample, 1, 2) for sample in (1, 2, 3)] + [mask(0, 2, 2), mask(0, 1, 3)]
    for other in shifted + others:
        correlation = (base * other).mean().item() * 4
        assert abs(correlation) < 5 / base.numel() ** 0.5


def test_gradient_passes_where_elements_are_kept() -> None:
    x = torch.randn(4, 2, 8, requires_grad=True)
    y = hidden_dropout(x, 0.5, keys(2), layer=1, site=2, first_position=0)
    y.sum().backward()
    assert torch.equal(x.grad, (y != 0).float() * 2)


@pytest.mark.parametrize("layer", [0, 1, 47, 2**20])
def test_the_layer_may_be_a_tensor(layer: int) -> None:
    x = torch.ones(8, 3, 5)
    number = hidden_dropout(x, 0.4, keys(3), layer=layer, site=2, first_position=0)
    tensor = hidden_dropout(x, 0.4, keys(3), layer=torch.tensor(layer), site=2, first_position=0)
    assert torch.equal(number, tensor)
