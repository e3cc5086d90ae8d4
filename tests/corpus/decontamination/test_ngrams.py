import numpy as np

from megatron_bio.corpus.decontamination.ngrams import run_numbers, runs_of_length


def test_runs_of_one_length_have_the_numbers_that_the_search_computes() -> None:
    generator = np.random.default_rng(0)
    for count in (8, 13, 40):
        words = generator.integers(0, 2**64, count, np.uint64)
        for length, runs in run_numbers(words, 13):
            numbers = runs_of_length(words, length)
            assert numbers.dtype == np.uint64 and numbers.tolist() == runs.tolist()
