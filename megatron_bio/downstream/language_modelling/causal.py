"""Causal models: every token of a document is predicted once, from the tokens before it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from megatron_bio.downstream.language_modelling.rows import DocumentRows, Row, TokenizedDocument


@dataclass(frozen=True, kw_only=True)
class CausalRows:
    """Windows over documents."""

    context: int
    """Most tokens in a row."""
    stride: int
    """Every token that a later window predicts has at least so many tokens before it in that window."""
    beginning: int | None
    """Token that stands before a document, from which its first token is predicted. Without one the first token costs
    ln(vocabulary): what a model that knows nothing pays."""
    vocabulary: int

    def rows_of(self, document: TokenizedDocument) -> DocumentRows:
        """Return one row for each window."""
        prefix = [] if self.beginning is None else [self.beginning]
        tokens = [*prefix, *document.ids]
        assumed = int(self.beginning is None and len(document.ids) > 0)
        return DocumentRows(
            rows=[
                Row(
                    ids=tokens[start : end - 1],
                    positions=range(first - 1 - start, end - 1 - start),
                    targets=tokens[first:end],
                )
                for start, first, end in windows(len(tokens), self.context, self.stride)
            ],
            words=len(document.text.split()),
            predicted_bytes=len(document.text.encode()),
            assumed_tokens=assumed,
            assumed_nats=assumed * math.log(self.vocabulary),
        )


def windows(length: int, context: int, stride: int) -> Sequence[tuple[int, int, int]]:
    """Return (start, first, end) of each window over `length` tokens: it predicts first … end - 1 from start … end - 2.

    Token 0 is predicted nowhere, every other one exactly once.
    """
    found = []
    start, first = 0, 1
    while first < length:
        end = min(start + context + 1, length)
        found.append((start, first, end))
        start, first = end - stride, end
    return found
