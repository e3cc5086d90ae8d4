"""Texts as rows for a model: pieces, cut where they do not fit, with the special tokens of the tokenizer's own post-processor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.tasks.form import Row

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast


class Rows:
    """Makes rows of at most `max_length` pieces, each of one text or of two."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", max_length: int, texts: int) -> None:
        """`texts` is 1 or 2. Raises ConfigurationError for a tokenizer without offsets and for a length that holds no piece."""
        if not tokenizer.is_fast:
            raise ConfigurationError(
                f"{tokenizer.name_or_path}: expected a fast tokenizer, found {type(tokenizer).__name__}, which cannot say "
                "where its pieces are in the text. Save it with tokenizer.json."
            )
        special = tokenizer.num_special_tokens_to_add(pair=texts == 2)
        self._tokenizer = tokenizer
        self.room = max_length - special
        """Pieces of texts that a row holds."""
        self.are_joined = not special
        """The tokenizer sets nothing between two texts, as that of a GPT: its classifier reads the last piece."""
        if self.room < texts:
            raise ConfigurationError(
                f"--max_length: expected at least {special + texts}, as {special} special tokens are in each row, "
                f"found {max_length}."
            )

    def pieces(self, texts: Sequence[str]) -> list["Encoding"]:
        """All pieces of each text, without special tokens."""
        if not texts:
            return []
        return list(self._tokenizer(list(texts), add_special_tokens=False, verbose=False).encodings or ())

    def second_pieces(self, texts: Sequence[str]) -> list["Encoding"]:
        """All pieces of texts that stand behind another: after a space where the tokenizer sets nothing between the two."""
        return self.pieces([f" {text}" if text else text for text in texts] if self.are_joined else texts)

    def row(self, first: "Encoding", second: "Encoding | None" = None) -> Row:
        """One row; texts that do not fit must have been cut."""
        whole = self._tokenizer.backend_tokenizer.post_process(first, second)
        row: Row = {"input_ids": whole.ids}
        if "token_type_ids" in self._tokenizer.model_input_names:
            row["token_type_ids"] = whole.type_ids
        return row


def cut(pieces: "Encoding", start: int, end: int) -> "Encoding":
    """A copy with the pieces `start` to `end` (exclusive)."""
    copy = type(pieces).merge([pieces])
    copy.truncate(end)
    copy.truncate(end - start, direction="left")
    return copy


def last(pieces: "Encoding", count: int) -> "Encoding":
    """The last `count` pieces, all if there are no more."""
    return cut(pieces, max(0, len(pieces) - count), len(pieces))


def stretch_around(pieces: "Encoding", start: int, end: int, room: int) -> tuple[int, int] | None:
    """The `room` pieces with characters `start` to `end` (exclusive) in their middle, or nearest to it at an end of the text.

    None if these characters alone have more pieces. Fewer are returned only if there are no more.
    """
    inside = [
        number for number, (begin, finish) in enumerate(pieces.offsets) if finish > start and begin < end
    ]
    first, behind = inside[0], inside[-1] + 1
    if behind - first > room:
        return None
    beginning = min(max(0, first - (room - (behind - first)) // 2), max(0, len(pieces) - room))
    return beginning, min(len(pieces), beginning + room)
