"""What the compiled encoders of WordPiece and byte-level BPE share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Core


class CompiledEncoder:
    """Text → ids by a compiled part."""

    _compiled: Any

    def encode_joined(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of all texts back to back [sum of lengths], and the length of each [texts]."""
        ids, lengths = self._compiled.encode(texts)
        return ids, lengths


class LibraryIds:
    """The ids that the tokenizers library gives to a text; the compiled parts ask it about what they do not know."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __call__(self, text: str) -> list[int]:
        """The ids, without special tokens around them."""
        ids: list[int] = self._core.encode(text, add_special_tokens=False).ids
        return ids
