"""A question and a text that may hold its answer → rows for a model, each with a window of the text, in pieces.

Neighbouring windows share pieces, so that an answer cut by one is whole in the next (J. Devlin et al. 2019, arXiv 1810.04805).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.question_forms import Answer
from megatron_bio.downstream.tasks.form import Encoded, Row, Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

QUESTION_SHORTENED = "question longer than half a row: its end was cut off"
ANSWER_NOT_WHOLE = "answer that is whole in no window: not trained on"

_TEXTS_AT_ONCE = 2000
_LEAST_PIECES = 4
Places = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One question with one text to read for it."""

    example: int
    text: int = 0
    """Which of the example's texts."""
    question: str
    context: str
    answer: Answer | None = None
    """What training is to find here; None: nothing."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WindowPlace:
    """Where the pieces of one row's window stand in their text."""

    example: int
    text: int
    begin: int
    """Which piece of the text the window begins with."""
    first: int
    """Index of that piece in the row."""
    starts: Places
    ends: Places
    """Of each piece of the window: its characters in the text, `text[start:end]`."""
    no_answer: int
    """Index in the row of the piece that stands for "no answer in this window"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairForm:
    """How a tokenizer puts two texts into one row: the special pieces around them and their token types."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    types: tuple[tuple[int, ...], int, tuple[int, ...], int, tuple[int, ...]] | None
    """Of before, first text, between, second text, after; None if the model knows no token types."""
    no_answer: int
    """Index of the piece for "no answer"; counted from the row's end if negative."""

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerFast") -> Self:
        """Learn it from the row that the tokenizer makes of two letters.

        "No answer" is the piece that a classifier reads: [CLS] or <s> where there is one in front; otherwise the last piece,
        and where the tokenizer adds none, as GPT-2's, its end-of-text piece is put there. Raises ConfigurationError for a
        tokenizer without offsets, and for one that has no piece for "no answer".
        """
        if not tokenizer.is_fast:
            raise ConfigurationError(
                f"The tokenizer {type(tokenizer).__name__} gives no offsets of its pieces, which questions need to find an "
                "answer's characters. Save it as a fast one (tokenizer.json)."
            )
        pair = tokenizer("a", "b", return_token_type_ids=True)
        ids, types = list(pair["input_ids"]), list(pair["token_type_ids"])
        texts = pair.sequence_ids(0)
        if 0 not in texts or 1 not in texts:
            raise ConfigurationError(
                f"The tokenizer {type(tokenizer).__name__} makes no pieces of the letters a and b. Is its vocabulary whole?"
            )
        first, second = texts.index(0), texts.index(1)
        first_end, second_end = second - texts[second - 1 :: -1].index(0), len(texts) - texts[::-1].index(1)
        before, between, after = ids[:first], ids[first_end:second], ids[second_end:]
        after_types = types[second_end:]
        front = tokenizer.cls_token_id in before if tokenizer.cls_token_id is not None else False
        if not front and not after:
            if tokenizer.eos_token_id is None:
                raise ConfigurationError(
                    f"The tokenizer {type(tokenizer).__name__} has neither a classification piece nor an end-of-text piece, "
                    "one of which has to stand for a window without an answer. Set its eos_token."
                )
            after, after_types = [tokenizer.eos_token_id], [types[second]]
        return cls(
            before=tuple(before),
            between=tuple(between),
            after=tuple(after),
            types=(
                tuple(types[:first]),
                types[first],
                tuple(types[first_end:second]),
                types[second],
                tuple(after_types),
            )
            if "token_type_ids" in tokenizer.model_input_names
            else None,
            no_answer=before.index(tokenizer.cls_token_id) if front else -1,
        )

    @property
    def special(self) -> int:
        """How many pieces of a row belong to neither text."""
        return len(self.before) + len(self.between) + len(self.after)

    def row(self, first: Sequence[int], second: Sequence[int]) -> Row:
        """The row of two texts' pieces."""
        row: Row = {"input_ids": [*self.before, *first, *self.between, *second, *self.after]}
        if self.types is not None:
            before, of_first, between, of_second, after = self.types
            row["token_type_ids"] = [
                *before,
                *[of_first] * len(first),
                *between,
                *[of_second] * len(second),
                *after,
            ]
        return row


@dataclass(frozen=True, slots=True, eq=False)
class TextPieces:
    """A text's pieces with the characters of each."""

    ids: list[int]
    starts: Places
    ends: Places

    def covering(self, answer: Answer) -> tuple[int, int] | None:
        """First and last piece (inclusive) that hold the answer, white space at its ends apart; None if no piece does.

        They hold more than the answer where it begins or ends inside a piece.
        """
        start = answer.start + len(answer.text) - len(answer.text.lstrip())
        end = answer.start + len(answer.text.rstrip())
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left")) - 1
        return (first, last) if start < end and first <= last else None


def pieces_of(texts: Sequence[str], tokenizer: "PreTrainedTokenizerFast") -> dict[str, TextPieces]:
    """Each distinct text once, without special pieces, none cut off."""
    distinct = list(dict.fromkeys(texts))
    found: dict[str, TextPieces] = {}
    for begin in range(0, len(distinct), _TEXTS_AT_ONCE):
        batch = distinct[begin : begin + _TEXTS_AT_ONCE]
        encoded = tokenizer(
            batch,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for text, ids, offsets in zip(batch, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            places = np.array(offsets, dtype=np.int32).reshape(-1, 2)
            found[text] = TextPieces(ids, places[:, 0].copy(), places[:, 1].copy())
    return found


def window_beginnings(pieces: int, room: int, shared: int) -> range:
    """Where windows of `room` pieces begin that share `shared` with the next, the last one reaching the text's end."""
    return range(0, max(pieces - shared, 1), room - shared)


def encode_readings(
    readings: Sequence[Reading], tokenizer: "PreTrainedTokenizerFast", settings: Settings, training: bool
) -> Encoded[WindowPlace]:
    """Make the rows of each reading, in order.

    Windows share `settings.stride` pieces, but no more than half a window. A question takes at most half of a row. For training a
    row has `start_positions` and `end_positions` of the answer's first and last piece (inclusive); if it is not whole in the
    window, both are the piece for "no answer". Raises ConfigurationError if `settings.max_length` leaves no room.
    """
    form = PairForm.of(tokenizer)
    longest = settings.max_length - form.special
    if longest < _LEAST_PIECES:
        raise ConfigurationError(
            f"max_length is {settings.max_length}, of which special pieces take {form.special}: expected at least "
            f"{form.special + _LEAST_PIECES}, so that a question and a piece of its text fit."
        )
    questions = pieces_of([reading.question for reading in readings], tokenizer)
    contexts = pieces_of([reading.context for reading in readings], tokenizer)
    features: list[Row] = []
    places: list[WindowPlace] = []
    shortened: Counter[str] = Counter()
    for reading in readings:
        question = questions[reading.question].ids
        shortened[QUESTION_SHORTENED] += len(question) > longest // 2
        question = question[: longest // 2]
        rows = list(_rows(reading, question, contexts[reading.context], form, settings))
        if training:
            whole = _answer_positions(reading, contexts[reading.context], rows)
            shortened[ANSWER_NOT_WHOLE] += not whole
            rows = rows if whole else []
        features += [row for row, _ in rows]
        places += [place for _, place in rows]
    return Encoded(features=features, places=tuple(places), shortened=dict(+shortened))


def _rows(
    reading: Reading, question: list[int], context: TextPieces, form: PairForm, settings: Settings
) -> Iterator[tuple[Row, WindowPlace]]:
    room = settings.max_length - form.special - len(question)
    for begin in window_beginnings(len(context.ids), room, min(settings.stride, room // 2)):
        row = form.row(question, context.ids[begin : begin + room])
        yield (
            row,
            WindowPlace(
                example=reading.example,
                text=reading.text,
                begin=begin,
                first=len(form.before) + len(question) + len(form.between),
                starts=context.starts[begin : begin + room],
                ends=context.ends[begin : begin + room],
                no_answer=form.no_answer % len(row["input_ids"]),
            ),
        )


def _answer_positions(reading: Reading, context: TextPieces, rows: Sequence[tuple[Row, WindowPlace]]) -> bool:
    """Write the positions into the rows. Returns False if there is an answer, and no window has all of it."""
    covering = None if reading.answer is None else context.covering(reading.answer)
    whole = reading.answer is None
    for row, place in rows:
        first, last = place.no_answer, place.no_answer
        if covering and place.begin <= covering[0] and covering[1] < place.begin + len(place.starts):
            first, last = (place.first + piece - place.begin for piece in covering)
            whole = True
        row["start_positions"], row["end_positions"] = first, last
    return whole
