import pytest
import torch
import torch.nn.functional as F

from megatron_bio.downstream.fine_tuning.losses import (
    balanced_weights,
    cross_entropy,
    dice_loss,
    weighted_cross_entropy,
)
from megatron_bio.downstream.tasks.form import LOSS_IGNORES

LOGITS = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, LOSS_IGNORES, 2, 1, LOSS_IGNORES, 0])
KEPT = LABELS != LOSS_IGNORES


def test_cross_entropy_is_the_mean_over_what_has_a_label() -> None:
    assert torch.allclose(cross_entropy(LOGITS, LABELS), F.cross_entropy(LOGITS[KEPT], LABELS[KEPT]))


def test_weighted() -> None:
    weights = torch.tensor([0.5, 2.0, 1.0])
    expected = F.cross_entropy(LOGITS[KEPT], LABELS[KEPT], weight=weights)
    assert torch.allclose(weighted_cross_entropy(weights)(LOGITS, LABELS), expected)


def test_dice_as_its_equation() -> None:
    total = 0.0
    probabilities = LOGITS[KEPT].softmax(dim=-1).tolist()
    truth = LABELS[KEPT].tolist()
    for number in range(3):
        both = sum(p[number] for p, label in zip(probabilities, truth, strict=True) if label == number)
        either = sum(p[number] ** 2 for p in probabilities) + truth.count(number)
        total += 1 - (2 * both + 1) / (either + 1)
    assert dice_loss(LOGITS, LABELS).item() == pytest.approx(total / 3, rel=1e-5)


@pytest.mark.parametrize("loss", [cross_entropy, dice_loss, weighted_cross_entropy(torch.ones(3))])
def test_rows_without_labels_change_nothing_and_alone_give_zero(loss) -> None:
    assert torch.allclose(loss(LOGITS, LABELS), loss(LOGITS[KEPT], LABELS[KEPT]))
    nothing = loss(LOGITS.clone().requires_grad_(), torch.full((7,), LOSS_IGNORES))
    nothing.backward()
    assert nothing.item() == 0


def test_balanced_weights() -> None:
    weights = balanced_weights({0: 8, 2: 2}, 3)
    assert weights.tolist() == pytest.approx([10 / 16, 0, 10 / 4])
    assert 8 * weights[0] == 2 * weights[2]
