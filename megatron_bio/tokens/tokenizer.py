"""A tokenizer as this library uses it: text → ids without special tokens, and what the data code must know of it."""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Core
from tokenizers import models, normalizers, pre_tokenizers

from megatron_bio.tokens import compiled_byte_level, compiled_wordpiece
from megatron_bio.tokens.compiled_byte_level import CompiledByteLevel
from megatron_bio.tokens.compiled_wordpiece import CompiledWordPiece
from megatron_bio.tokens.errors import TokenizerError, TokenizerWarning
from megatron_bio.tokens.fingerprint import fingerprint
from megatron_bio.tokens.tokenizer_files import (
    BERT_SPECIAL_TOKENS,
    CONTINUATION,
    END_OF_TEXT,
    MOST_UNUSABLE_PIECES,
    cased_pieces,
    missing_bytes,
    read_tokenizer_files,
    unfit_model,
)
from megatron_bio.tokens.word_cache import ByteLevelCache, NoCache, WordCache


class Tokenizer:
    """WordPiece or byte-level BPE with the ids of the tokenizers library, many times faster.

    A special token that stands in a text, as in "peripheral arterial disease [PAD]", is text like any other: a corpus
    cannot smuggle in the end of a document. (transformers does the same with `split_special_tokens=True`.)
    """

    kind: Literal["wordpiece", "bpe"]
    """Which of the two it is."""

    def __init__(self, core: Core, name: str, end_of_document: str | None = None) -> None:
        """Take a tokenizer of the tokenizers library; `name` is for messages. Raises TokenizerError if unusable here."""
        self.name = name
        self.kind = "wordpiece" if isinstance(core.model, models.WordPiece) else "bpe"
        self._end_of_document = end_of_document or (END_OF_TEXT if self.kind == "bpe" else None)
        self._core = core
        core.no_truncation()
        core.no_padding()
        core.encode_special_tokens = True
        vocabulary = core.get_vocab(with_added_tokens=True)
        required = BERT_SPECIAL_TOKENS if self.kind == "wordpiece" else (self._end_of_document,)
        if missing := [token for token in required if token not in vocabulary]:
            raise TokenizerError(
                f"{name}: expected the special tokens {', '.join(map(str, required))} in the vocabulary of "
                f"{len(vocabulary)} tokens, found none named {', '.join(map(str, missing))}. Add them, or train a "
                f"vocabulary with `megatron-bio vocabulary train`."
            )
        self.vocab_size = max(vocabulary.values()) + 1

    @classmethod
    def load(cls, path: Path | str, lowercase: bool | None = None) -> Self:
        """Load a tokenizer folder, or a lone WordPiece vocabulary (one token per line).

        `lowercase` overrides the files. Raises TokenizerError for missing, malformed and contradictory files; warns with
        TokenizerWarning when a cased vocabulary is lower-cased or the other way round.
        """
        files = read_tokenizer_files(Path(path), lowercase)
        if missing := missing_bytes(files.core):
            raise TokenizerError(
                f"{path}: expected a token for each of the 256 bytes, found none for {len(missing)} of them, as {missing[0]!r}; "
                f"text would lose them without a word. Train a vocabulary with `megatron-bio vocabulary train --type bpe`, or get "
                f"the files from their first source."
            )
        if story := unfit_model(files.core):
            raise TokenizerError(f"{path}: {story}.")
        tokenizer = cls(files.core, str(path), files.end_of_document)
        tokenizer._warn_of_wrong_case()
        return tokenizer

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _restore, (self._core.to_str(), self.name, self._end_of_document, self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """What `fingerprint` gives for it; a worker gets it along, for it takes as long to compute as to load."""
        return fingerprint(self._core)

    @cached_property
    def _encoder(self) -> CompiledWordPiece | CompiledByteLevel | WordCache:
        """Made when something is to be encoded: a process whose workers encode needs none."""
        return _encoder_for(self._core)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """The ids [length] of each text, without special tokens; read-only arrays."""
        ids, lengths = self._encoder.encode_joined(texts)
        ids.flags.writeable = False
        ends = np.cumsum(lengths).tolist()
        return [ids[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]

    def encode_joined(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of all texts back to back [sum of lengths], and the length of each [texts]."""
        return self._encoder.encode_joined(texts)

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """Text of ids; special tokens are shown. WordPiece gives back words, not their exact spacing and case."""
        return str(self._core.decode([int(number) for number in ids], skip_special_tokens=False))

    def token_to_id(self, token: str) -> int | None:
        """The id of a piece as it stands in the vocabulary."""
        number: int | None = self._core.token_to_id(token)
        return number

    def id_to_token(self, number: int) -> str | None:
        """The piece with this id."""
        token: str | None = self._core.id_to_token(number)
        return token

    @property
    def pad(self) -> int:
        """Id of [PAD]."""
        return self._special("[PAD]")

    @property
    def unk(self) -> int:
        """Id of [UNK]; byte-level BPE has none, for it knows every byte."""
        return self._special("[UNK]")

    @property
    def cls(self) -> int:
        """Id of [CLS]."""
        return self._special("[CLS]")

    @property
    def sep(self) -> int:
        """Id of [SEP]."""
        return self._special("[SEP]")

    @property
    def mask(self) -> int:
        """Id of [MASK]."""
        return self._special("[MASK]")

    @property
    def eod(self) -> int:
        """Id of the token that ends a document: the eos_token of the folder, for BPE otherwise <|endoftext|>."""
        return self._special(self._end_of_document or END_OF_TEXT)

    @property
    def has_eod(self) -> bool:
        """Whether there is a token that ends a document."""
        return self.token_to_id(self._end_of_document or END_OF_TEXT) is not None

    @property
    def special_ids(self) -> NDArray[np.int64]:
        """Ids of all special tokens, ascending."""
        added = self._core.get_added_tokens_decoder().items()
        return np.array(sorted(number for number, token in added if token.special), dtype=np.int64)

    @property
    def lowercase(self) -> bool:
        """Whether text is lower-cased."""
        normalizer = self._core.normalizer
        return isinstance(normalizer, normalizers.BertNormalizer) and bool(normalizer.lowercase)

    def continuation_mask(self) -> NDArray[np.bool_]:
        """Which ids continue a word [vocab_size]: "##…" of WordPiece; BPE's pieces without the space before them (Ġ).

        Special tokens continue nothing. In BPE the first word of a text has no space before it, and counts as continued.
        """
        mask = np.zeros(self.vocab_size, dtype=np.bool_)
        for token, number in self._core.get_vocab(with_added_tokens=True).items():
            mask[number] = (
                token.startswith(CONTINUATION) if self.kind == "wordpiece" else not token.startswith("Ġ")
            )
        mask[self.special_ids] = False
        return mask

    def _special(self, token: str) -> int:
        number = self.token_to_id(token)
        if number is None:
            raise TokenizerError(
                f"{self.name}: expected a token {token}, found none in this {self.kind} vocabulary of {self.vocab_size}. "
                f"Masked language models need a WordPiece vocabulary, GPT one with {END_OF_TEXT}."
            )
        return number

    def _warn_of_wrong_case(self) -> None:
        if self.kind != "wordpiece":
            return
        capitals = cased_pieces(self._core.get_vocab(with_added_tokens=True))
        story = ""
        if self.lowercase and len(capitals) > MOST_UNUSABLE_PIECES * self.vocab_size:
            story = (
                f"text is lower-cased, but {len(capitals)} of {self.vocab_size} pieces have capitals, as "
                f"{min(capitals, key=len)!r}, and can never be used. This looks like a cased vocabulary: set do_lower_case to "
                f"false in tokenizer_config.json"
            )
        elif not self.lowercase and not capitals:
            story = (
                f"text keeps its capitals, but none of the {self.vocab_size} pieces has one, so every capitalised word "
                f"becomes [UNK]. This looks like an uncased vocabulary: set do_lower_case to true in tokenizer_config.json"
            )
        if story:
            warnings.warn(f"{self.name}: {story}.", TokenizerWarning, stacklevel=3)


def _restore(content: str, name: str, end_of_document: str | None, known_fingerprint: str) -> Tokenizer:
    tokenizer = Tokenizer(Core.from_str(content), name, end_of_document)
    tokenizer.fingerprint = known_fingerprint
    return tokenizer


def _encoder_for(core: Core) -> CompiledWordPiece | CompiledByteLevel | WordCache:
    """The fastest way that is right for this tokenizer; tokens added by hand may match across any cut."""
    added = any(not token.special for token in core.get_added_tokens_decoder().values())
    normalizer, pre_tokenizer = core.normalizer, core.pre_tokenizer
    if added:
        return NoCache(core)
    if isinstance(core.model, models.WordPiece):
        return compiled_wordpiece.load(core) or NoCache(core)
    if (
        isinstance(core.model, models.BPE)
        and core.model.dropout is None
        and normalizer is None
        and isinstance(pre_tokenizer, pre_tokenizers.ByteLevel)
        and pre_tokenizer.use_regex
        and not pre_tokenizer.add_prefix_space
    ):
        return compiled_byte_level.load(core) or ByteLevelCache(core)
    return NoCache(core)
