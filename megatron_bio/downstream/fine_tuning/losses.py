"""Losses of classifiers, three of which answer unequal labels.

Dice: F. Milletari et al., "V-Net" (2016, arXiv 1606.04797), which X. Li et al., "Dice Loss for Data-imbalanced NLP Tasks" (2020,
arXiv 1911.02855), call DL. Their self-adjusting form, taken for each row, is smallest where a right label has the probability one
half; in our tests nothing was learnt with it.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.downstream.tasks.form import LOSS_IGNORES

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [rows, labels] and label numbers [rows], of which LOSS_IGNORES have no loss, to their mean loss."""

_DICE_SMOOTHING = 1.0


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the rows that have a label; 0 if none has."""
    return F.cross_entropy(logits.float(), labels, ignore_index=LOSS_IGNORES, reduction="sum") / _count(
        labels
    )


def weighted_cross_entropy(weights: Tensor) -> Loss:
    """Cross entropy in which a row counts as its label's weight, divided by the sum of the weights."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        kept = labels != LOSS_IGNORES
        of_rows = weights.to(logits.device)[labels.clamp(min=0)] * kept
        each = F.cross_entropy(logits.float(), labels, ignore_index=LOSS_IGNORES, reduction="none")
        return (each * of_rows).sum() / of_rows.sum().clamp(min=torch.finfo(torch.float32).tiny)

    return loss


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """For each label 1 - (2 Σ p y + 1) / (Σ p² + Σ y + 1) over the rows that have one; the mean over labels.

    y is 1 for the right label. A label counts alike however rare it is.
    """
    kept = (labels != LOSS_IGNORES).unsqueeze(-1)
    probabilities = logits.float().softmax(dim=-1) * kept
    truth = F.one_hot(labels.clamp(min=0), logits.shape[-1]) * kept
    both = (probabilities * truth).sum(dim=0)
    either = probabilities.square().sum(dim=0) + truth.sum(dim=0)
    return (1 - (2 * both + _DICE_SMOOTHING) / (either + _DICE_SMOOTHING)).mean()


def balanced_weights(counts: Mapping[int, int], number: int) -> Tensor:
    """Weights that make all labels count alike: all / (labels · those with the label); 0 for a label that none has."""
    present = {label: count for label, count in counts.items() if count}
    weights = torch.zeros(number)
    for label, count in present.items():
        weights[label] = sum(present.values()) / (len(present) * count)
    return weights


def _count(labels: Tensor) -> Tensor:
    return (labels != LOSS_IGNORES).sum().clamp(min=1)
