"""Words → pieces, exactly as a tokenizer's `is_split_into_words`, with every distinct word encoded once.

The tokenizers library, given words apart, normalises, splits and cuts each of them as if there were no other: also one that marks
only the beginning of a text (Metaspace's "first") marks every word. So a table of words gives the same pieces.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.tokens.compiled_wordpiece import CompiledWordPiece, load

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Core
    from transformers import PreTrainedTokenizerFast

_AT_ONCE = 4096


class WordPieces:
    """The pieces of words, remembered."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        """Raises ConfigurationError for a tokenizer that has no fast form, and for one that would set no space before words."""
        if not tokenizer.is_fast:
            raise ConfigurationError(
                f"{tokenizer.name_or_path}: expected a fast tokenizer, found {type(tokenizer).__name__}. "
                "Save it with tokenizer.json."
            )
        _require_words(tokenizer)
        self._name = tokenizer.name_or_path
        self._core: Core = tokenizer.backend_tokenizer
        self._compiled = _compiled(self._core)
        self._added = list(tokenizer.get_added_vocab())
        self._table: dict[str, tuple[int, ...]] = {}
        self.unknown: int | None = (
            tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.eos_token_id
        )
        """What a word becomes that has no pieces, so that it can have a label."""

    def learn(self, sentences: Iterable[Sequence[str]]) -> None:
        """Encode the words that are new, many at once."""
        new = [word for word in dict.fromkeys(chain.from_iterable(sentences)) if word not in self._table]
        if self._compiled is not None:
            alone, new = self._parted(new)
            ids, lengths = self._compiled.encode_joined(alone)
            ends = np.cumsum(lengths).tolist()
            joined = ids.tolist()
            for word, start, end in zip(alone, [0, *ends[:-1]], ends, strict=True):
                self._table[word] = tuple(joined[start:end]) or self._without_pieces(word)
        for start in range(0, len(new), _AT_ONCE):
            self._learn_of_library(new[start : start + _AT_ONCE])

    def pieces(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The pieces of each word of a sentence, at least one each."""
        try:
            return list(map(self._table.__getitem__, words))
        except KeyError:
            self.learn([words])
            return list(map(self._table.__getitem__, words))

    def _parted(self, words: list[str]) -> tuple[list[str], list[str]]:
        """Words without a token that was added to the vocabulary, and those with one, which compiled code does not know."""
        text = "\n".join(words)
        added = [token for token in self._added if token in text]
        holding = {word for word in words if any(token in word for token in added)} if added else set()
        return [word for word in words if word not in holding], [*holding]

    def _learn_of_library(self, words: list[str]) -> None:
        encoding = self._core.encode(words, is_pretokenized=True, add_special_tokens=False)
        found: list[list[int]] = [[] for _ in words]
        for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
            assert word is not None
            found[word].append(piece)
        for text, pieces in zip(words, found, strict=True):
            self._table[text] = tuple(pieces) or self._without_pieces(text)

    def _without_pieces(self, word: str) -> tuple[int, ...]:
        if self.unknown is None:
            raise ConfigurationError(
                f"{self._name}: expected pieces of every word, found none of {word!r}, and no unknown token to set for it."
            )
        return (self.unknown,)


def _compiled(core: "Core") -> CompiledWordPiece | None:
    """The compiled form of a BERT's tokenizer, to which special tokens in a text are text; None for another one."""
    if type(core.model).__name__ != "WordPiece":
        return None
    copy = type(core).from_str(core.to_str())
    copy.encode_special_tokens = True
    return load(copy)


def _require_words(tokenizer: "PreTrainedTokenizerFast") -> None:
    """Refuse what would cut words otherwise than in a text, and leave the tokenizer without truncation and padding.

    Transformers 4 refuses a GPT-2's tokenizer that sets no space before a word; transformers 5 gives the pieces of one that
    goes on, which in a text no word begins with.
    """
    if _sets_no_space(tokenizer.backend_tokenizer):
        raise ConfigurationError(
            f"{tokenizer.name_or_path}: expected a tokenizer that sets a space before each word, found byte-level pieces without. "
            "Load it with add_prefix_space=True, or set that in the pre_tokenizer of its tokenizer.json."
        )
    try:
        tokenizer(["a"], is_split_into_words=True, truncation=False, padding=False)
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(
            f"{tokenizer.name_or_path}: expected a tokenizer that takes words, found: {error}"
        ) from error


def _sets_no_space(core: "Core") -> bool:
    if core.pre_tokenizer is None:
        return False
    step = json.loads(core.pre_tokenizer.__getstate__())
    return any(
        each["type"] == "ByteLevel" and not each["add_prefix_space"]
        for each in step.get("pretokenizers", [step])
    )
