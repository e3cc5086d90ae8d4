"""MinHash signatures of texts and the bands that bring alike ones together (Broder 1997; Leskovec et al., chapter 3).

rensa computes the signatures: on 2,000 real abstracts it took 1/60 of datasketch's CPU time for the same shingles, which are
hashed here.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import rensa
from numpy.typing import NDArray

from megatron_bio.corpus.building.tables import PERMUTATIONS
from megatron_bio.corpus.building.word_hashes import Hashes, mixed

SEED = 1
AT_ONCE = 1024
"""Documents; rensa gives their signatures as Python's integers."""
SURE = 0.99
"""The least probability that two documents as alike as asked for share a band."""
LEAST_ROWS = 4
"""Of 40 million abstracts, each would be compared with 0.3 to 4 unlike ones for 4 rows, with 30 to 50 for 3."""
ALGORITHM = f"rensa {rensa.RMinHash.ALGORITHM_VERSION}"

Signatures = NDArray[np.uint32]


def signatures(shingles: Sequence[Hashes]) -> Signatures:
    """[documents, PERMUTATIONS]; the share of equal numbers in two rows estimates the Jaccard similarity of their shingles."""
    rows = [_signatures(shingles[first : first + AT_ONCE]) for first in range(0, len(shingles), AT_ONCE)]
    return np.concatenate([np.empty((0, PERMUTATIONS), np.uint32), *rows])


def _signatures(shingles: Sequence[Hashes]) -> Signatures:
    offsets = np.concatenate(([0], np.cumsum([len(hashes) for hashes in shingles])))
    matrix: Any = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(shingles), offsets.tolist(), PERMUTATIONS, SEED
    )
    return np.array(matrix.to_rows(), np.uint32).reshape(len(shingles), PERMUTATIONS)


@cache
def rows_per_band(similarity: float) -> int:
    """The most rows per band with which documents of this similarity share a band with probability `SURE` or more.

    With r rows and b = 128 // r bands the probability is 1 - (1 - s^r)^b; more rows bring fewer unlike documents together.
    Never fewer than `LEAST_ROWS`.
    """
    rows = LEAST_ROWS
    while 1 - (1 - similarity ** (rows + 1)) ** (PERMUTATIONS // (rows + 1)) >= SURE:
        rows += 1
        if rows == PERMUTATIONS:
            break
    return rows


def band_count(similarity: float) -> int:
    """How many bands of `rows_per_band` rows there are."""
    return PERMUTATIONS // rows_per_band(similarity)


def band_keys(rows: Signatures, similarity: float) -> Hashes:
    """[bands, documents]: equal where all numbers of the band are."""
    width, bands = rows_per_band(similarity), band_count(similarity)
    keys = np.empty((bands, len(rows)), np.uint64)
    for band in range(bands):
        key = np.full(len(rows), band + 1, np.uint64)
        for column in range(band * width, (band + 1) * width):
            key = mixed(key ^ rows[:, column].astype(np.uint64))
        keys[band] = key
    return keys
