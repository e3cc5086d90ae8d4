"""Words → pieces, exactly as a tokenizer's `is_split_into_words`, with every distinct word encoded once.

Given words apart, tokenizers normalise, split and cut each of them alone, so a table of words gives the same pieces as the library.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.tokens.compiled_wordpiece import CompiledWordPiece, load

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Core
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
        _require_words(tokenizer)
        self._core: Core = tokenizer.backend_tokenizer
        self._compiled = _compiled(self._core)
        self._added = list(tokenizer.get_added_vocab())
        self._table: dict[str, tuple[int, ...]] = {}
        self.unknown = (
            tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.eos_token_id
        )
        """What a word becomes that has no pieces, so that it can have a label."""
        self.words_are_independent = _words_are_independent(json.loads(self._core.to_str()))

    def learn(self, sentences: Iterable[Sequence[str]]) -> None:
        """Encode the words that are new, many at once: each is cut as if it were alone."""
        table = self._table
        new = list(dict.fromkeys(word for words in sentences for word in words if word not in table))
        if self._compiled is not None:
            alone = [word for word in new if not self._holds_added_token(word)]
            ids, lengths = self._compiled.encode_joined(alone)
            ends = np.cumsum(lengths).tolist()
            joined = ids.tolist()
            for word, start, end in zip(alone, [0, *ends[:-1]], ends, strict=True):
                table[word] = tuple(joined[start:end]) or (self.unknown,)
            new = [word for word in new if word not in table]
        for start in range(0, len(new), _AT_ONCE):
            block = new[start : start + _AT_ONCE]
            table.update(zip(block, self._together(block), strict=True))

    def pieces(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The pieces of each word of a sentence, at least one each."""
        if not self.words_are_independent:
            return self._together(words)
        try:
            return [self._table[word] for word in words]
        except KeyError:
            self.learn([words])
            return [self._table[word] for word in words]

    def _together(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        encoding = self._encoded(words)
        found: list[list[int]] = [[] for _ in words]
        for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None:
                found[word].append(piece)
        return [tuple(pieces) or (self.unknown,) for pieces in found]

    def _holds_added_token(self, word: str) -> bool:
        return any(token in word for token in self._added)

    def _encoded(self, words: Sequence[str]) -> "Encoding":
        return self._core.encode(list(words), is_pretokenized=True, add_special_tokens=False)


def _compiled(core: "Core") -> CompiledWordPiece | None:
    """The compiled form of a BERT's tokenizer, to which special tokens in a text are text; None for another one."""
    copy = type(core).from_str(core.to_str())
    copy.encode_special_tokens = True
    return load(copy)


def _require_words(tokenizer: "PreTrainedTokenizerFast") -> None:
    """Refuse a tokenizer whose class refuses words, which its core does not know, and leave it without truncation and padding."""
    try:
        tokenizer(["a"], is_split_into_words=True, truncation=False, padding=False)
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(
            f"{tokenizer.name_or_path}: expected a tokenizer that takes words, found: {error} Load it with add_prefix_space."
        ) from error


def _words_are_independent(content: dict[str, object]) -> bool:
    """Whether nothing in the tokenizer asks for a word's place; Metaspace before the first word alone does."""
    return '"prepend_scheme": "first"' not in json.dumps(content)
