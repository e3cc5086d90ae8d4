"""Masked models: which words or pieces are masked, and the rows they are masked in.

A word is what stands between white space. Tokenizers cut there, so it is the same for all of them, and whether it is masked
depends on the seed, the text and its number in the text alone.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from megatron_bio.downstream.language_modelling.rows import DocumentRows, Row, TokenizedDocument

_WORD = re.compile(r"\S+")
_HASH_BYTES = 8


@dataclass(frozen=True)
class Unit:
    """Pieces that are masked together."""

    first: int
    end: int
    """The piece behind the last."""
    word: int | None
    """Number of the word that they are (part of); None for pieces of white space."""
    number: int
    """Of the word or piece, for the draw; parts of one word have the same."""


@dataclass(frozen=True)
class Window:
    """Consecutive units that fit into a row, and those of them that this row counts."""

    first: int
    end: int
    counts_from: int
    counts_to: int


@dataclass(frozen=True, kw_only=True)
class MaskedRows:
    """Rows with masks: one for each window, or one for each word or piece (pseudo-likelihood)."""

    context: int
    """Most tokens in a row, special ones too."""
    stride: int
    """Most pieces that two windows share; the first half of these counts in the earlier one, the rest in the later."""
    before: Sequence[int]
    """Special tokens at the beginning of a row, [CLS]."""
    after: Sequence[int]
    """Special tokens at its end, [SEP]."""
    mask_id: int
    mask: Literal["words", "pieces"]
    share: float | None
    """Share of words or pieces to mask; None masks each once, in a row of its own."""
    seed: int

    def rows_of(self, document: TokenizedDocument) -> DocumentRows:
        """Return the rows of a document; there are none if no word of it is masked."""
        room = self.context - len(self.before) - len(self.after)
        words = [found.span() for found in _WORD.finditer(document.text)]
        owners = word_of_pieces(document, words)
        units = units_of(owners, self.mask, room)
        chosen = self._chosen(document.text, units)
        masked_words = {units[number].word for number in chosen} - {None}
        return DocumentRows(
            rows=list(self._rows(document.ids, units, chosen, room)),
            words=len(masked_words) if self.mask == "words" else 0,
            predicted_bytes=self._bytes(
                document.text, [words[word] for word in masked_words if word is not None]
            ),
        )

    def _chosen(self, text: str, units: Sequence[Unit]) -> list[int]:
        """Return the numbers of the units to mask, ascending."""
        if self.share is None:
            return list(range(len(units)))
        draw = Draw(self.seed, text)
        return [
            number
            for number, unit in enumerate(units)
            if (self.mask == "pieces" or unit.word is not None) and draw.of(unit.number) < self.share
        ]

    def _bytes(self, text: str, spans: Sequence[tuple[int, int]]) -> int | None:
        if self.share is None:
            return len(text.encode())
        if self.mask == "pieces":
            return None
        return sum(len(text[first:end].encode()) for first, end in spans)

    def _rows(
        self, ids: Sequence[int], units: Sequence[Unit], chosen: Sequence[int], room: int
    ) -> Iterator[Row]:
        is_chosen = set(chosen)
        for window in masked_windows([unit.end - unit.first for unit in units], room, self.stride):
            counted = [n for n in range(window.counts_from, window.counts_to) if n in is_chosen]
            if self.share is None:
                for number in counted:
                    yield self._row(ids, units, window, [number], [number])
            elif counted:
                # What is masked stays so where another window counts it, or its pieces would help their neighbours.
                hidden = [n for n in range(window.first, window.end) if n in is_chosen]
                yield self._row(ids, units, window, hidden, counted)

    def _row(
        self,
        ids: Sequence[int],
        units: Sequence[Unit],
        window: Window,
        hidden: Sequence[int],
        counted: Sequence[int],
    ) -> Row:
        first, end = units[window.first].first, units[window.end - 1].end
        row = list(ids[first:end])
        for number in hidden:
            for piece in range(units[number].first, units[number].end):
                row[piece - first] = self.mask_id
        pieces = [piece for number in counted for piece in range(units[number].first, units[number].end)]
        return Row(
            ids=[*self.before, *row, *self.after],
            positions=[piece - first + len(self.before) for piece in pieces],
            targets=[ids[piece] for piece in pieces],
        )


class Draw:
    """Numbers from 0 to 1, excluding 1, that depend on seed, text and number alone."""

    def __init__(self, seed: int, text: str) -> None:
        self._key = hashlib.blake2b(f"{seed}\n{text}".encode(), digest_size=16).digest()

    def of(self, number: int) -> float:
        """Return the number of the word or piece `number`."""
        digest = hashlib.blake2b(str(number).encode(), key=self._key, digest_size=_HASH_BYTES).digest()
        # A float has 53 bits: with 64 the largest would round to 1.
        return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def word_of_pieces(document: TokenizedDocument, words: Sequence[tuple[int, int]]) -> list[int | None]:
    """Return the number of the word in which each piece begins, None for pieces of white space alone."""
    starts = [first for first, _ in words]
    owners: list[int | None] = []
    for first, end in document.offsets:
        inside = document.text[first:end]
        at = first + len(inside) - len(inside.lstrip())
        number = bisect_right(starts, at) - 1
        owners.append(number if inside.strip() and number >= 0 else None)
    return owners


def units_of(owners: Sequence[int | None], mask: Literal["words", "pieces"], room: int) -> list[Unit]:
    """Return what is masked together, all pieces in order. A word of more than `room` pieces is cut into parts."""
    units: list[Unit] = []
    first = 0
    for piece, owner in enumerate(owners):
        next_owner = owners[piece + 1] if piece + 1 < len(owners) else None
        together = mask == "words" and owner is not None and owner == next_owner and piece + 1 < len(owners)
        if together and piece + 1 - first < room:
            continue
        number = owner if mask == "words" and owner is not None else piece
        units.append(Unit(first, piece + 1, owner, number))
        first = piece + 1
    return units


def masked_windows(lengths: Sequence[int], room: int, stride: int) -> list[Window]:
    """Return windows of at most `room` pieces over units of these lengths; every unit is counted in exactly one."""
    windows: list[Window] = []
    first = counts_from = 0
    while counts_from < len(lengths):
        end = _reach(lengths, first, room)
        if end == len(lengths):
            windows.append(Window(first, end, counts_from, end))
            break
        following = end
        # The next window begins later than this one and reaches further, so the first unit behind this one must fit.
        most = min(stride, room - lengths[end])
        while following - 1 > first and sum(lengths[following - 1 : end]) <= most:
            following -= 1
        counts_to = max(_middle(lengths, following, end), counts_from)
        windows.append(Window(first, end, counts_from, counts_to))
        first, counts_from = following, counts_to
    return windows


def _reach(lengths: Sequence[int], first: int, room: int) -> int:
    """Return the end of the longest run of units from `first` on with at most `room` pieces."""
    end, used = first, 0
    while end < len(lengths) and used + lengths[end] <= room:
        used += lengths[end]
        end += 1
    return end


def _middle(lengths: Sequence[int], first: int, end: int) -> int:
    """Return the unit at which the second half of first … end - 1 begins."""
    half, passed, middle = sum(lengths[first:end]) / 2, 0, first
    while middle < end and passed < half:
        passed += lengths[middle]
        middle += 1
    return middle
