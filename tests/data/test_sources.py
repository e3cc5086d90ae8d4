"""Several token files read as one, and fingerprints tell contents apart."""

import numpy as np
import pytest

from megatron_bio.data.errors import DataError
from megatron_bio.data.sources import CombinedReader, combine, content_fingerprint

PARTS = [[[[1, 2], [3]], [[4, 5, 6]]], [[], [[7], [], [8, 9]]], [[[10]]]]


@pytest.fixture
def combined(memory_source):
    return combine([memory_source(part) for part in PARTS], ["a", "b", "c"])


def test_combined_arrays_are_those_of_one_file(combined, memory_source) -> None:
    whole = memory_source([document for part in PARTS for document in part])
    assert combined.dtype == whole.dtype
    assert combined.sequence_lengths.tolist() == whole.sequence_lengths.tolist()
    assert combined.sequence_pointers.tolist() == whole.sequence_pointers.tolist()
    assert combined.document_indices.tolist() == whole.document_indices.tolist()


def test_any_run_of_sequences_reads_as_from_one_file(combined, memory_source) -> None:
    whole = memory_source([document for part in PARTS for document in part])
    count = len(whole.sequence_lengths)
    for start in range(count + 1):
        for stop in range(start, count + 1):
            assert combined.sequences(start, stop).tolist() == whole.sequences(start, stop).tolist()


def test_one_file_stays_itself(memory_source) -> None:
    single = memory_source(PARTS[0])
    assert combine([single], ["a"]) is single


def test_different_token_types_are_refused_by_name(memory_source) -> None:
    readers = [memory_source(PARTS[0]), memory_source(PARTS[1], dtype=np.int32)]
    with pytest.raises(DataError, match="first stores tokens as uint16, second as int32"):
        CombinedReader(readers, ["first", "second"])


def test_fingerprint_changes_with_tokens_bounds_and_type_only(memory_source) -> None:
    documents = [[[1, 2], [3]], [[4, 5, 6]]]
    same = content_fingerprint(memory_source(documents))
    assert same == content_fingerprint(memory_source(documents))
    others = [
        memory_source([[[1, 2], [3]], [[4, 5, 7]]]),
        memory_source([[[1, 2]], [[3], [4, 5, 6]]]),
        memory_source([[[1], [2, 3]], [[4, 5, 6]]]),
        memory_source(documents, dtype=np.int32),
        memory_source(documents, dtype=np.int16),
        memory_source([]),
    ]
    assert len({same, *map(content_fingerprint, others)}) == 7
