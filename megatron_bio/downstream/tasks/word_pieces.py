"""Words → pieces, exactly as a tokenizer's `is_split_into_words`, with every distinct word encoded once.

Given words apart, tokenizers normalise, split and cut each of them alone, so a table of words gives the same pieces as the library.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from megatron_bio.config.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

_AT_ONCE = 4096


class WordPieces:
    """The pieces of words, remembered."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        """Raises ConfigurationError for a tokenizer that has no fast form, or that refuses words apart."""
        if not tokenizer.is_fast:
            raise ConfigurationError(
                f"{tokenizer.name_or_path}: expected a fast tokenizer, found {type(tokenizer).__name__}. "
                "Save it with tokenizer.json."
            )
        self._tokenizer = tokenizer
        self._core = tokenizer.backend_tokenizer
        self._table: dict[str, tuple[int, ...]] = {}
        self.unknown = (
            tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.eos_token_id
        )
        """What a word becomes that has no pieces, so that it can have a label."""
        self.words_are_independent = _words_are_independent(json.loads(self._core.to_str()))

    def learn(self, sentences: Iterable[Sequence[str]]) -> None:
        """Encode the words that are new."""
        new = list(dict.fromkeys(word for words in sentences for word in words if word not in self._table))
        for start in range(0, len(new), _AT_ONCE):
            block = new[start : start + _AT_ONCE]
            for word, encoding in zip(block, self._encoded([[word] for word in block]), strict=True):
                self._table[word] = tuple(encoding.ids)

    def pieces(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The pieces of each word of a sentence, at least one each."""
        if not self.words_are_independent:
            return self._together(words)
        if any(word not in self._table for word in words):
            self.learn([words])
        table, empty = self._table, (self.unknown,)
        return [table[word] or empty for word in words]

    def _together(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        (encoding,) = self._encoded([list(words)])
        found: list[list[int]] = [[] for _ in words]
        for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None:
                found[word].append(piece)
        return [tuple(pieces) or (self.unknown,) for pieces in found]

    def _encoded(self, sentences: list[list[str]]) -> list["Encoding"]:
        # Through the tokenizer's class, which refuses words apart where it must, and without its truncation and padding.
        try:
            batch = self._tokenizer(
                sentences,
                is_split_into_words=True,
                add_special_tokens=False,
                truncation=False,
                padding=False,
                verbose=False,
            )
        except (AssertionError, ValueError) as error:
            raise ConfigurationError(
                f"{self._tokenizer.name_or_path}: expected a tokenizer that takes words, found: {error} "
                "Load it with add_prefix_space."
            ) from error
        return list(batch.encodings)


def _words_are_independent(content: dict[str, object]) -> bool:
    """Whether nothing in the tokenizer asks for a word's place; Metaspace before the first word alone does."""
    return '"prepend_scheme": "first"' not in json.dumps(content)
