"""Which characters a WordPiece vocabulary knows: the most frequent ones of its documents."""

from collections.abc import Iterable, Mapping

import numpy as np
from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = 0x110000
COUNTED_TOGETHER = 1 << 22
"""Characters counted in one go: enough that clearing the table of all code points costs little."""


def count_characters(texts: Iterable[str]) -> dict[str, int]:
    """How often each character occurs."""
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    waiting: list[str] = []
    size = 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size >= COUNTED_TOGETHER:
            counts += _count_code_points("".join(waiting))
            waiting, size = [], 0
    counts += _count_code_points("".join(waiting))
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _count_code_points(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.bincount(np.frombuffer(text.encode("utf-32-le"), np.uint32), minlength=CODE_POINTS)


def choose_alphabet(counts: Mapping[str, int], normalizer: normalizers.Normalizer, limit: int) -> list[str]:
    """The `limit` most frequent characters after normalisation, equal ones by code point, in order of code points.

    The normaliser works character by character, so counts before it give the counts after it.
    """
    normalised: dict[str, int] = {}
    for character, count in counts.items():
        for result in normalizer.normalize_str(character):
            if not result.isspace():
                normalised[result] = normalised.get(result, 0) + count
    ordered = sorted(normalised, key=lambda character: (-normalised[character], character))
    return sorted(ordered[:limit])


def stands_in_words(
    character: str, normalizer: normalizers.Normalizer, pre_tokenizer: pre_tokenizers.PreTokenizer
) -> bool:
    """Whether a character can stand inside a word; punctuation and Chinese characters are words of their own."""
    return len(pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(f"a{character}a"))) == 1
