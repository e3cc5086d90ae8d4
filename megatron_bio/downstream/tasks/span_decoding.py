"""Logits of being an answer's first and last piece → the best answers in a text, over all its windows.

The score of an answer is the sum of the two logits (J. Devlin et al. 2019, arXiv 1810.04805).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.downstream.tasks.form import Logits
from megatron_bio.downstream.tasks.span_windows import WindowPlace

MOST_ANSWER_PIECES = 30
"""An answer's greatest length, as in BERT's SQuAD script and NeMo."""
ANSWERS_KEPT = 20
"""The best ones of a text, over which probabilities are taken, as there."""

_Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundAnswer:
    """`context[start:end] == text`."""

    text: str
    start: int
    end: int
    score: float
    probability: float
    """Among the answers kept for this text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundAnswers:
    """What was found in one text."""

    answers: tuple[FoundAnswer, ...]
    """The best first; none if the text has no characters but white space."""
    no_answer_probability: float
    """Of "no answer" against the best answer, by their scores."""


def best_answers(context: str, windows: Sequence[tuple[WindowPlace, Logits]]) -> FoundAnswers:
    """Find the best answers in a text; each window with its logits [2, pieces].

    An answer lies in one window, is not longer than `MOST_ANSWER_PIECES`, and has no white space at its ends. One that several
    windows hold has its best score. The score of "no answer" is the least of all windows: an answer in any of them is enough.
    """
    scores: dict[tuple[int, int], float] = {}
    for place, logits in windows:
        for first, last, score in _best_spans(place, logits):
            start, end = _trimmed(context, int(place.starts[first]), int(place.ends[last]))
            if start < end:
                scores[start, end] = max(score, scores.get((start, end), score))
    best = sorted(scores.items(), key=lambda found: (-found[1], found[0]))[:ANSWERS_KEPT]
    no_answer = min(float(logits[:, place.no_answer].sum(dtype=np.float64)) for place, logits in windows)
    return FoundAnswers(
        answers=tuple(
            FoundAnswer(text=context[start:end], start=start, end=end, score=score, probability=probability)
            for ((start, end), score), probability in zip(
                best, softmax([score for _, score in best]), strict=True
            )
        ),
        no_answer_probability=softmax([no_answer, best[0][1]])[0] if best else 1.0,
    )


def softmax(scores: Sequence[float]) -> list[float]:
    """Numbers that sum to 1, in the ratio of the exponentials of the scores."""
    if not scores:
        return []
    weights = np.exp(np.array(scores, dtype=np.float64) - max(scores))
    return [float(weight) for weight in weights / weights.sum()]


def _best_spans(place: WindowPlace, logits: Logits) -> list[tuple[int, int, float]]:
    """First and last piece, counted from the window's begin, and score; the best ones, in no order."""
    pieces = len(place.starts)
    if not pieces:
        return []
    window = logits[:, place.first : place.first + pieces].astype(np.float64)
    width = min(MOST_ANSWER_PIECES, pieces)
    ends = np.concatenate([window[1], np.full(width - 1, -np.inf)])
    sums: _Scores = window[0][:, None] + np.lib.stride_tricks.sliding_window_view(ends, width)
    flat = sums.ravel()
    best = (
        np.argpartition(-flat, ANSWERS_KEPT)[:ANSWERS_KEPT] if len(flat) > ANSWERS_KEPT else range(len(flat))
    )
    found = ((*divmod(int(index), width), float(flat[index])) for index in best)
    return [(first, first + more, score) for first, more, score in found if score > -np.inf]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    found = text[start:end]
    return start + len(found) - len(found.lstrip()), end - len(found) + len(found.rstrip())
