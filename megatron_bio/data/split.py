"""Documents to train, validation and test: by the hash of (seed, document), so that growing a corpus moves no document."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.data.errors import DataError
from megatron_bio.data.randomness import Purpose, hash_words, uniform

SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Document numbers of each part, int64, ascending; together they are all documents, each once."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_documents(
    documents: int, fractions: tuple[float, float, float], seed: int, name: str = "the token data"
) -> Split:
    """Split the documents 0 ... documents - 1 by fractions for train, validation and test, which sum to 1.

    Each document's part depends on (seed, document) alone. Only when a part with a fraction above 0 would stay empty,
    as in a tiny corpus, the largest part gives it one document, chosen by another hash. `name` is for the error.

    Raises:
        DataError: fewer documents than parts with a fraction above 0.
    """
    wanted = [part for part, fraction in enumerate(fractions) if fraction > 0]
    if documents < len(wanted):
        names = ", ".join(f"{SPLIT_NAMES[part]} {fractions[part]:g}" for part in wanted)
        raise DataError(
            f"data.split asks for {len(wanted)} parts ({names}), but {name} holds {documents} "
            f"document{'s' if documents != 1 else ''}; give more documents or set a fraction to 0."
        )
    draws = uniform(seed, Purpose.SPLIT, np.arange(documents))
    parts = np.searchsorted(np.cumsum(fractions)[:-1], draws, side="right")
    # Rounding may leave the sum of the fractions just below 1; a draw above it belongs to the last part.
    parts = np.minimum(parts, wanted[-1])
    for part in wanted:
        sizes = np.bincount(parts, minlength=3)
        if sizes[part] == 0:
            candidates = np.flatnonzero(parts == sizes.argmax())
            parts[candidates[hash_words(seed, Purpose.SPLIT_REPAIR, part, candidates).argmin()]] = part
    return Split(*(np.flatnonzero(parts == part).astype(np.int64) for part in range(3)))
