import numpy as np
import pytest

from megatron_bio.corpus.building.signatures import band_keys, rows_per_band, signatures
from megatron_bio.corpus.building.tables import PERMUTATIONS


def sets(size: int, similarity: float, seed: int) -> list[np.ndarray]:
    """Two sets of random numbers with this Jaccard similarity."""
    generator = np.random.default_rng(seed)
    shared = round(2 * size * similarity / (1 + similarity))
    numbers = generator.integers(0, 2**64, 2 * size - shared, np.uint64)
    return [numbers[:size], numbers[size - shared :]]


@pytest.mark.parametrize("size", [60, 3_000])
@pytest.mark.parametrize("similarity", [0.2, 0.6, 0.9])
def test_the_share_of_equal_numbers_estimates_the_similarity(size: int, similarity: float) -> None:
    pairs = [sets(size, similarity, seed) for seed in range(40)]
    rows = signatures([hashes for pair in pairs for hashes in pair])
    estimates = (rows[::2] == rows[1::2]).mean(axis=1)
    deviation = (similarity * (1 - similarity) / PERMUTATIONS) ** 0.5
    assert abs(estimates.mean() - similarity) < 4 * deviation / len(pairs) ** 0.5 + 1 / size
    assert abs(estimates - similarity).max() < 5 * deviation + 1 / size


def test_signatures_do_not_depend_on_order_repetition_or_company() -> None:
    first, second = sets(500, 0.5, 1)
    together = signatures([first, second])
    alone = signatures([np.concatenate([first[::-1], first])])
    assert (together[0] == alone[0]).all()
    assert signatures([]).shape == (0, PERMUTATIONS)


def test_signatures_are_those_of_the_pinned_library() -> None:
    """A corpus must not change under the same manifest: a new algorithm must change `ALGORITHM` too."""
    rows = signatures([np.arange(1, 301, dtype=np.uint64)])
    assert rows.dtype == np.uint32
    assert rows[0, :4].tolist() == [285261799, 465390415, 633132515, 143688885]


@pytest.mark.parametrize("similarity", [0.6, 0.7, 0.8, 0.95])
def test_alike_documents_share_a_band(similarity: float) -> None:
    rows = rows_per_band(similarity)
    bands = PERMUTATIONS // rows
    assert 1 - (1 - similarity**rows) ** bands >= 0.985
    generator = np.random.default_rng(3)
    one = generator.integers(0, 2**32, (400, PERMUTATIONS), np.uint32)
    other = np.where(generator.random(one.shape) < similarity, one, one + 1).astype(np.uint32)
    shared = (band_keys(one, similarity) == band_keys(other, similarity)).any(axis=0)
    assert shared.mean() > 0.96
    unlike = (band_keys(one, similarity) == band_keys(other[::-1].copy(), similarity)).any(axis=0)
    assert not unlike.any()


def test_bands_differ_even_where_their_numbers_are_equal() -> None:
    keys = band_keys(np.full((1, PERMUTATIONS), 7, np.uint32), 0.6)
    assert len(np.unique(keys)) == len(keys) == 32
