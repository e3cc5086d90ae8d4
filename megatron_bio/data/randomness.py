"""Random numbers as a pure function of what they are for: no state, no order of calls, the same on every machine.

The state of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) starts at
the first word; each further word w jumps to the w-th output of the stream, which becomes the next state. So
`hash_words(s, i)` is the i-th output of the published generator with seed s, and a key of several words
(seed, purpose, epoch, sample, position) walks down a tree of streams.

Changing anything here changes every run that is resumed afterwards; golden values in the tests guard it.
"""

from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Word: TypeAlias = int | NDArray[Any]

_BITS = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


class Purpose(IntEnum):
    """What a number is drawn for, so that two draws with the same counters differ. Never renumber: resumed runs."""

    SPLIT = 1
    SPLIT_REPAIR = 2
    DOCUMENT_ORDER = 3
    SAMPLE_ORDER = 4
    TARGET_LENGTH = 5
    PIVOT = 6
    SWAP = 7
    MASK_ROW = 8
    MASK_ORDER = 9
    MASK_KIND = 10
    MASK_REPLACEMENT = 11
    FINGERPRINT = 12
    ANOTHER_TEXT = 13
    BLEND_ORDER = 14
    BLEND_CORPUS = 15
    MASK_LENGTH = 20


def hash_words(*words: Word) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for each key.

    words: at least two integers or integer arrays, which broadcast against each other; negative numbers count
    modulo 2^64. The result has the broadcast shape. Plain integers first are the fastest: they are mixed once.
    """
    state: int | NDArray[np.uint64] = _as_word(words[0])
    for word in map(_as_word, words[1:]):
        if isinstance(state, int) and isinstance(word, int):
            state = _mix_int((state + (word + 1) * _GAMMA) & _BITS)
        else:
            state = _mix_array(_jump(state, word))
    return np.asarray(state, dtype=np.uint64)


def uniform(*words: Word) -> NDArray[np.float64]:
    """Return numbers in [0, 1), multiples of 2^-53, for the keys that `words` form (see `hash_words`)."""
    return (hash_words(*words) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(below: int | NDArray[Any], *words: Word) -> NDArray[np.int64]:
    """Return integers in [0, below) for the keys that `words` form; `below` broadcasts and is less than 2^32.

    No value is more probable than another by more than below / 2^53.
    """
    return (uniform(*words) * below).astype(np.int64)


def _as_word(word: Word) -> int | NDArray[np.uint64]:
    if np.ndim(word) == 0:
        return int(word) & _BITS
    return np.asarray(word).astype(np.uint64)


def _mix_int(bits: int) -> int:
    bits = ((bits ^ (bits >> 30)) * _FIRST) & _BITS
    bits = ((bits ^ (bits >> 27)) * _SECOND) & _BITS
    return bits ^ (bits >> 31)


def _jump(state: int | NDArray[np.uint64], word: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return state + (word + 1) x gamma modulo 2^64 as a new array; one of the two is an array."""
    if isinstance(word, int):
        return np.asarray(state + np.uint64(((word + 1) * _GAMMA) & _BITS))
    product = word * np.uint64(_GAMMA)
    if isinstance(state, int):
        product += np.uint64((state + _GAMMA) & _BITS)
        return product
    return product + (state + np.uint64(_GAMMA))


def _mix_array(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply SplitMix64's finaliser in place; `bits` is a fresh array."""
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(_FIRST)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(_SECOND)
    bits ^= bits >> np.uint64(31)
    return bits
