"""The hash is stable for ever, equal to the published generator, and random enough."""

import numpy as np

from megatron_bio.data.randomness import Purpose, hash_words, integers, uniform

SPLITMIX64_SEED_1234567 = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]

GOLDEN_HASHES = [5764561515105842492, 16327277393298956869]
GOLDEN_UNIFORMS = [0.3499551346380565, 0.9371442033957129]
GOLDEN_INTEGERS = [647, 10, 397, 402]


def test_two_words_are_the_published_splitmix64_stream() -> None:
    assert hash_words(1234567, np.arange(5)).tolist() == SPLITMIX64_SEED_1234567


def test_golden_values_of_longer_keys() -> None:
    assert hash_words(1234, Purpose.PIVOT, np.array([0, 1]), 7).tolist() == GOLDEN_HASHES
    assert uniform(1234, Purpose.SWAP, 0, np.arange(2)).tolist() == GOLDEN_UNIFORMS
    assert integers(1000, 1234, Purpose.MASK_KIND, np.arange(4)).tolist() == GOLDEN_INTEGERS


def test_purposes_keep_their_numbers() -> None:
    assert [(purpose.name, purpose.value) for purpose in Purpose] == [
        ("SPLIT", 1),
        ("SPLIT_REPAIR", 2),
        ("DOCUMENT_ORDER", 3),
        ("SAMPLE_ORDER", 4),
        ("TARGET_LENGTH", 5),
        ("PIVOT", 6),
        ("SWAP", 7),
        ("MASK_ROW", 8),
        ("MASK_ORDER", 9),
        ("MASK_KIND", 10),
        ("MASK_REPLACEMENT", 11),
        ("FINGERPRINT", 12),
        ("ANOTHER_TEXT", 13),
        ("BLEND_ORDER", 14),
        ("BLEND_CORPUS", 15),
        ("MASK_LENGTH", 20),
    ]


def test_integers_and_arrays_of_every_kind_give_the_same_hash() -> None:
    expected = int(hash_words(3, 1, 2**40, 5))
    for words in [
        (3, 1, 2**40, np.array([5])),
        (3, 1, np.array([2**40]), 5),
        (np.array([3], dtype=np.uint8), 1, 2**40, np.array([[5]], dtype=np.int32)),
        (np.int64(3), np.int16(1), np.uint64(2**40), np.array(5)),
    ]:
        assert hash_words(*words).reshape(-1).tolist() == [expected]


def test_negative_words_count_modulo_two_to_the_64() -> None:
    assert hash_words(-1, -2).tolist() == hash_words(2**64 - 1, np.array([-2])).tolist()[0]


def test_arguments_are_not_changed_and_shapes_broadcast() -> None:
    epochs, samples = np.arange(3)[:, None], np.arange(4)
    assert hash_words(1, epochs, samples).shape == (3, 4)
    assert epochs.tolist() == [[0], [1], [2]] and samples.tolist() == [0, 1, 2, 3]


def test_every_word_matters() -> None:
    keys = [hash_words(a, b, np.arange(50)) for a in range(20) for b in range(20)]
    assert len(np.unique(np.concatenate(keys))) == 20 * 20 * 50


def test_uniform_fills_the_unit_interval_evenly() -> None:
    draws = uniform(9, Purpose.MASK_ORDER, np.arange(200_000))
    assert draws.min() >= 0.0 and draws.max() < 1.0
    counts = np.histogram(draws, bins=100, range=(0, 1))[0]
    chi_squared = ((counts - 2000) ** 2 / 2000).sum()
    assert 50 < chi_squared < 160, "99 degrees of freedom"


def test_neighbouring_counters_and_keys_are_uncorrelated() -> None:
    grid = uniform(9, np.arange(400)[:, None], np.arange(400))
    for shifted in (grid[1:, :], grid[:, 1:]):
        fixed = grid[: shifted.shape[0], : shifted.shape[1]]
        assert abs(np.corrcoef(fixed.ravel(), shifted.ravel())[0, 1]) < 0.01


def test_each_bit_is_set_in_half_of_the_hashes_and_flips_with_half_of_the_inputs() -> None:
    hashes = hash_words(5, np.arange(20_000))
    flipped = hashes ^ hash_words(5, np.arange(20_000) ^ 1)
    for bit in range(64):
        assert abs(((hashes >> np.uint64(bit)) & np.uint64(1)).mean() - 0.5) < 0.02
        assert abs(((flipped >> np.uint64(bit)) & np.uint64(1)).mean() - 0.5) < 0.02


def test_integers_stay_below_their_own_bound_and_reach_all_values() -> None:
    below = np.array([1, 2, 7, 2**32 - 1])
    draws = integers(below, 4, np.arange(4000)[:, None])
    assert (draws >= 0).all() and (draws < below).all()
    assert [len(np.unique(draws[:, column])) for column in range(3)] == [1, 2, 7]
    assert np.abs(np.bincount(draws[:, 2]) / 4000 - 1 / 7).max() < 0.03
