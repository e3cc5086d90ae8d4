"""The dropout hash in numpy's unsigned integers, written apart from the package."""

import numpy as np

M64 = (1 << 64) - 1


def mix64(x: np.ndarray) -> np.ndarray:
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ (x >> np.uint64(33))) * np.uint64(multiplier)
    return x ^ (x >> np.uint64(33))


def sample_keys(seed: int, sample_ids: np.ndarray) -> np.ndarray:
    first = mix64(sample_ids.astype(np.uint64) + np.uint64((seed * 2 + 1) & M64))
    return mix64(first + np.uint64(0x9E3779B97F4A7C15))


def keep(keys: np.ndarray, elements: int, probability: float, layer: int, site: int) -> np.ndarray:
    """Return bool [R, elements] of kept elements for uint64 keys [R]."""
    with np.errstate(over="ignore"):
        mixed = mix64(keys + np.uint64(((layer * 16 + site + 1) * 0x632BE59BD9B4E019) & M64))[:, None]
        x = np.arange(elements, dtype=np.uint32)[None] + mixed.astype(np.uint32)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x += (mixed >> np.uint64(32)).astype(np.uint32)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
    return (x & np.uint32(0x7FFFFFFF)) >= int(probability * (1 << 31))
