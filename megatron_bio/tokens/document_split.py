"""Train, validation or test by a document's id, for the outputs of `preprocess`."""

from collections.abc import Sequence

from megatron_bio.corpus.building.split import part_of_name


def part_of(identifier: str, fractions: Sequence[float], seed: int) -> int:
    """The number of the part in `SPLIT_NAMES`, drawn with these probabilities from a hash of id and seed.

    No other document matters, so a corpus that grows moves none, and equal ids come together.
    """
    return part_of_name(f"{seed} {identifier}", fractions, b"token-split")
