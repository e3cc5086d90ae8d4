"""What is computed for a document: rows of tokens with the places that are predicted in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Row:
    """One input of the model. No padding."""

    ids: Sequence[int]
    """[length]"""
    positions: Sequence[int]
    """[predictions], ascending: where in the row the logits of each prediction stand."""
    targets: Sequence[int]
    """[predictions]: the tokens that should be predicted there."""


@dataclass(frozen=True, kw_only=True)
class TokenizedDocument:
    """A text and its pieces, without special tokens."""

    text: str
    ids: Sequence[int]
    """[pieces]"""
    offsets: Sequence[tuple[int, int]]
    """[pieces]: first character and the one behind the last, in `text`."""


@dataclass(frozen=True, kw_only=True)
class DocumentRows:
    """All rows of a document and what else counts for it."""

    rows: list[Row]
    words: int = 0
    """Words that are predicted."""
    predicted_bytes: int | None = 0
    """UTF-8 bytes of what is predicted; None where that is not whole words."""
    assumed_tokens: int = 0
    """Tokens that the model has no chance to predict; each costs `assumed_nats`."""
    assumed_nats: float = 0.0


class RowMaker(Protocol):
    """A protocol of evaluation."""

    def rows_of(self, document: TokenizedDocument) -> DocumentRows:
        """Return the rows of a document."""
        ...
