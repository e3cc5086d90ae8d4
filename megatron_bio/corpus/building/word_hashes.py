"""A text as numbers: one hash of all of it, of each run of n words, and of each sentence; blind to case and punctuation.

All substrings are hashed at once: with prefix sums P[i] = Σ T[byte j] · B^j over j < i, the hash of bytes i … k is
(P[k] - P[i]) · B^-i modulo 2^64 (Karp and Rabin 1987, with a table T of random numbers instead of the bytes' values), then
mixed. It depends on the words alone, on any machine.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

BASE = 0x9E3779B97F4A7C15
SPACE, NEWLINE = 0x20, 0x0A

_SENTENCE_END = re.compile(r"([.!?][\"”’')\]]*) +(?=[\"“‘'(\[]?[A-Z0-9])")
_NO_WORD_BEYOND_ASCII = re.compile(r"[^\w\x00-\x7f]")
_SPACES = re.compile(rb" {2,}")
_LINE_ENDS = re.compile(rb" ?\n[ \n]*")
_KEPT_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789\n")
# In UTF-8 all bytes of a character beyond ASCII are 0x80 or more.
_WORDS_ONLY = bytes(byte if byte in _KEPT_BYTES or byte >= 0x80 else SPACE for byte in range(256))


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """The sentences of one text that have enough words, each different one once, in the order of `keys`."""

    keys: Hashes
    words: NDArray[np.uint32]


@dataclass(frozen=True)
class Words:
    """A text as its words in lower case, letters and digits only, one space between them and a newline after a sentence."""

    content: bytes

    @classmethod
    def of(cls, text: str) -> "Words":
        """From a normalised text."""
        lines = _SENTENCE_END.sub("\\1\n", text)
        lines = lines.lower() if lines.isascii() else _NO_WORD_BEYOND_ASCII.sub(" ", _without_case(lines))
        content = _SPACES.sub(b" ", lines.encode().translate(_WORDS_ONLY))
        return cls(_LINE_ENDS.sub(b"\n", content).strip())

    def digest(self) -> tuple[int, int]:
        """128 bits of all letters and digits, wherever words and sentences end: `1,000` is `1000`, `anti-body` `antibody`."""
        digest = hashlib.blake2b(self.content.translate(None, b" \n"), digest_size=16).digest()
        return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")

    def shingles(self, length: int) -> Hashes:
        """The hash of each run of `length` words, in order; of all words, if they are fewer; none for no words."""
        if not self.content:
            return np.empty(0, np.uint64)
        separators = self._separators
        starts = np.concatenate(([0], separators + 1))
        ends = np.concatenate((separators, [len(self.content)]))
        count = max(1, len(starts) - length + 1)
        return _substrings(self._prefix_sums, starts[:count], ends[-count:])

    def sentences(self, least_words: int) -> Sentences:
        """The sentences of at least `least_words` words."""
        content = np.frombuffer(self.content, np.uint8)
        separators = self._separators
        breaks = np.flatnonzero(content == NEWLINE)
        starts = np.concatenate(([0], breaks + 1))
        ends = np.concatenate((breaks, [len(content)]))
        words = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
        long = words >= least_words
        keys = _substrings(self._prefix_sums, starts[long], ends[long])
        keys, first = np.unique(keys, return_index=True)
        return Sentences(keys=keys, words=words[long][first].astype(np.uint32))

    def count(self) -> int:
        """How many words."""
        return len(self._separators) + 1 if self.content else 0

    @cached_property
    def _separators(self) -> NDArray[np.int64]:
        content = np.frombuffer(self.content, np.uint8)
        return np.flatnonzero((content == SPACE) | (content == NEWLINE))

    @cached_property
    def _prefix_sums(self) -> Hashes:
        terms = _table()[np.frombuffer(self.content, np.uint8)] * _powers(BASE, len(self.content))
        sums = np.zeros(len(self.content) + 1, np.uint64)
        np.cumsum(terms, out=sums[1:])
        return sums


def mixed(values: Hashes) -> Hashes:
    """A bijection after which all bits depend on all (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _substrings(prefix: Hashes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    inverse = _powers(pow(BASE, -1, 2**64), len(prefix))
    return mixed((prefix[ends] - prefix[starts]) * inverse[starts])


def _without_case(text: str) -> str:
    """The same for a text and its capitals, also where these are other letters (`ß` and `SS`, `ﬁ` and `FI`, `ı` and `I`)."""
    return unicodedata.normalize("NFC", text.upper()).casefold()


@cache
def _table() -> Hashes:
    table = mixed(np.arange(1, 257, dtype=np.uint64) * np.uint64(BASE))
    table[NEWLINE] = table[SPACE]
    return table


def _powers(base: int, count: int) -> Hashes:
    """B^0, B^1, … B^(count - 1) modulo 2^64."""
    return _power_table(base, max(16, (count - 1).bit_length()))[:count]


@cache
def _power_table(base: int, bits: int) -> Hashes:
    powers = np.full(1 << bits, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers)
