"""Train, validation or test by a document's id, for the outputs of `preprocess`."""

import hashlib
from collections.abc import Sequence

PARTS = ("train", "validation", "test")


def part_of(identifier: str, fractions: Sequence[float], seed: int) -> int:
    """The number of the part in `PARTS`, drawn with these probabilities from a hash of id and seed.

    No other document matters, so a corpus that grows moves none, and equal ids come together.
    """
    name = f"{seed} {identifier}".encode()
    digest = hashlib.blake2b(name, digest_size=8, person=b"token-split").digest()
    draw = int.from_bytes(digest, "big") / 2**64
    total = 0.0
    for part, fraction in enumerate(fractions):
        total += fraction
        if fraction > 0 and draw < total:
            return part
    # Rounding may leave the sum just below 1.
    return max(part for part, fraction in enumerate(fractions) if fraction > 0)
