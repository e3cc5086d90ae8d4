"""Words that were tokenised before are looked up: the same ids as the tokenizers library, several times faster.

The text is cut at places where the pre-tokenizer always cuts, so each chunk has its ids whatever stands beside it.
Text is Zipfian: with half a million chunks remembered nearly every chunk of a large corpus is found again.
"""

import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Core

MOST_CHUNKS = 1 << 19
"""Chunks remembered, about 200 bytes each; what comes later is tokenised each time."""

# The outer structure of GPT-2's pattern; Python's white space has four control characters more than Unicode's.
_GPT2_CHUNK = re.compile(r" ?[\S\x1c-\x1f]+|[^\S\x1c-\x1f]+(?![\S\x1c-\x1f])|[^\S\x1c-\x1f]+")


class WordCache(dict[str, bytes], ABC):
    """Chunk → its token ids as the bytes of int32; a chunk not seen before is tokenised."""

    def __init__(self, core: Core) -> None:
        """Start empty."""
        super().__init__()
        self._core = core

    @abstractmethod
    def encode(self, text: str) -> bytes:
        """The ids of a text, as bytes of int32."""

    def encode_joined(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of all texts back to back [sum of lengths], and the length of each [texts]."""
        parts = [self.encode(text) for text in texts]
        lengths = np.fromiter(map(len, parts), np.int32, len(parts)) // np.int32(4)
        return np.frombuffer(b"".join(parts), np.int32), lengths

    def _encode_chunk(self, chunk: str) -> bytes:
        return array("i", self._core.encode(chunk, add_special_tokens=False).ids).tobytes()

    def __missing__(self, chunk: str) -> bytes:
        ids = self._encode_chunk(chunk)
        if len(self) < MOST_CHUNKS:
            self[chunk] = ids
        return ids


class ByteLevelCache(WordCache):
    """For byte-level BPE with GPT-2's pattern, without normaliser and prefix space."""

    def encode(self, text: str) -> bytes:
        """The ids of a text, as bytes of int32."""
        return b"".join(map(self.__getitem__, _GPT2_CHUNK.findall(text)))


class NoCache(WordCache):
    """For tokenizers of another build, and without compiled parts: the library tokenises each text as a whole."""

    def encode(self, text: str) -> bytes:
        """The ids of a text, as bytes of int32."""
        return self._encode_chunk(text)
