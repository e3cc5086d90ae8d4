"""One vocabulary under study: how many tokens words become."""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer as Core
from tokenizers import models, normalizers, pre_tokenizers

from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.fingerprint import fingerprint
from megatron_bio.tokens.tokenizer_files import read_tokenizer_files

ENCODED_TOGETHER = 1 << 14


@dataclass(kw_only=True)
class Cuts:
    """How words with counts were cut."""

    words: int = 0
    tokens: int = 0
    whole: int = 0
    """Words that are one token, and not an unknown one."""
    unknown: int = 0
    """Words with an unknown token in them."""
    unknown_tokens: int = 0

    @property
    def tokens_per_word(self) -> float:
        """Tokens / words, the paper's break rate."""
        return self.tokens / max(1, self.words)


@dataclass(frozen=True, kw_only=True)
class StudiedVocabulary:
    """A tokenizer with what the tables say of it."""

    name: str
    size: int
    """Number of tokens."""
    kind: str
    """`wordpiece` or `bpe`."""
    lowercase: bool
    fingerprint: str
    notes: tuple[str, ...]
    _core: Core = field(repr=False)

    @classmethod
    def load(cls, name: str, path: Path) -> Self:
        """Load a folder, tokenizer.json or vocab.txt; special tokens but [UNK] may be missing, and tokens may stand twice.

        Ids do not matter here. Raises TokenizerError for what cannot be read.
        """
        files = read_tokenizer_files(path, lowercase=None, allow_repeats=True)
        core = files.core
        if isinstance(core.model, models.WordPiece) and core.token_to_id(core.model.unk_token) is None:
            raise TokenizerError(
                f"{path}: expected a WordPiece vocabulary with {core.model.unk_token}, which stands for words that it cannot cut, "
                f"found none among {core.get_vocab_size()} tokens. Add it at the end, or give another file."
            )
        core.no_truncation()
        core.no_padding()
        core.encode_special_tokens = True
        notes = [
            f"{token!r} stands more than once in the file, so ids after it may be shifted; ids play no part here"
            for token in files.repeated
        ]
        normalizer = core.normalizer
        return cls(
            name=name,
            size=len(core.get_vocab(with_added_tokens=True)),
            kind="wordpiece" if isinstance(core.model, models.WordPiece) else "bpe",
            lowercase=isinstance(normalizer, normalizers.BertNormalizer) and bool(normalizer.lowercase),
            fingerprint=fingerprint(core),
            notes=tuple(notes),
            _core=core,
        )

    def pieces(self, word: str) -> list[str]:
        """The tokens of a word that stands inside a text."""
        tokens: list[str] = self._core.encode(self._as_in_text(word), add_special_tokens=False).tokens
        return tokens

    def cut(self, words: dict[str, int]) -> Cuts:
        """Cut each word by itself, and count it as often as the number beside it says."""
        cuts = Cuts()
        entries = iter(words.items())
        unknown = self._unknown()
        while portion := list(islice(entries, ENCODED_TOGETHER)):
            texts = [self._as_in_text(word) for word, _ in portion]
            encodings = self._core.encode_batch_fast(texts, add_special_tokens=False)
            for (_, times), encoding in zip(portion, encodings, strict=True):
                ids = encoding.ids
                unknown_tokens = ids.count(unknown) if unknown is not None else 0
                cuts.words += times
                cuts.tokens += times * len(ids)
                cuts.whole += times * (len(ids) == 1 and not unknown_tokens)
                cuts.unknown += times * bool(unknown_tokens)
                cuts.unknown_tokens += times * unknown_tokens
        return cuts

    def _as_in_text(self, word: str) -> str:
        # Byte-level BPE knows most words by the space before them.
        return f" {word}" if isinstance(self._core.pre_tokenizer, pre_tokenizers.ByteLevel) else word

    def _unknown(self) -> int | None:
        token = getattr(self._core.model, "unk_token", None)
        number: int | None = self._core.token_to_id(token) if token else None
        return number
