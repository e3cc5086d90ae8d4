"""Precision, recall and F1 from three counts."""

from dataclasses import dataclass
from typing import Any

Scores = dict[str, Any]
"""Rows of measures by name, or groups of such rows by name. Measures are in per cent."""


def percent(part: float, whole: float) -> float:
    """Return 100 part / whole, and 0 where there is nothing to divide by."""
    return 100 * part / whole if whole else 0.0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many were right, of how many predicted and how many to be found."""

    correct: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        """Right ones of the predicted, in per cent."""
        return percent(self.correct, self.predicted)

    @property
    def recall(self) -> float:
        """Right ones of those to be found, in per cent."""
        return percent(self.correct, self.gold)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in per cent."""
        return harmonic_mean(self.precision, self.recall)

    def row(self) -> dict[str, float | int]:
        """Return the measures and the counts by name."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "correct": self.correct,
            "predicted": self.predicted,
            "gold": self.gold,
        }


def harmonic_mean(first: float, second: float) -> float:
    """Return the harmonic mean, and 0 for two zeros."""
    return 2 * first * second / (first + second) if first + second else 0.0
