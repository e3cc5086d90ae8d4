from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.corpus.building.collection import Collection
from megatron_bio.corpus.building.equal_keys import equal_keys, key_ranges
from megatron_bio.corpus.building.tables import (
    BANDS,
    PERMUTATIONS,
    SENTENCES,
    SIGNATURES,
    Keys,
    keys_path,
    write_keys,
    write_signatures,
)


def test_all_keys_that_several_documents_have_are_found_once(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    expected: dict[int, list[tuple[int, int]]] = defaultdict(list)
    pool = generator.integers(0, 2**64, 300, np.uint64)
    among = generator.random(90) < 0.8
    for part in range(3):
        documents = np.repeat(np.arange(30), 5)
        keys = np.concatenate([generator.choice(pool, 5, replace=False) for _ in range(30)])
        words = generator.integers(8, 100, len(keys)).astype(np.uint16)
        write_keys(keys_path(tmp_path / str(part), SENTENCES), [Keys.sorted(keys, documents, words)])
        for key, document, count in zip(keys.tolist(), documents.tolist(), words.tolist(), strict=True):
            if among[30 * part + document]:
                expected[key].append((30 * part + document, count))
    collection = Collection.of([tmp_path / str(part) for part in range(3)], [30, 30, 30])
    tasks = list(key_ranges(collection, SENTENCES))
    assert len(tasks) == 8
    found = {}
    for task in tasks:
        entries = equal_keys(collection, task, among)
        ends = [*entries.starts[1:].tolist(), len(entries.keys)]
        for start, end in zip(entries.starts.tolist(), ends, strict=True):
            assert (
                len(set(entries.keys[start:end].tolist())) == 1
                and entries.groups[start] == entries.groups[end - 1]
            )
            rows = zip(entries.documents[start:end].tolist(), entries.words[start:end].tolist(), strict=True)
            assert found.setdefault(entries.keys[start], list(rows)) is found[entries.keys[start]]
    assert found == {key: rows for key, rows in expected.items() if len(rows) > 1}


@pytest.mark.parametrize("band", [0, 1])
def test_bands_are_tables_of_one_file(tmp_path: Path, band: int) -> None:
    tables = [Keys.sorted(keys, [0, 1, 2]) for keys in ([7, 1, 7], [2**64 - 1, 5, 6])]
    write_keys(keys_path(tmp_path, BANDS), tables)
    collection = Collection.of([tmp_path], [3])
    task = list(key_ranges(collection, BANDS, 2))[band]
    assert equal_keys(collection, task).documents.tolist() == [[0, 2], []][band]


def test_signatures_come_in_the_order_asked_for(tmp_path: Path) -> None:
    for part, numbers in enumerate([[0, 1, 2], [], [3, 4]]):
        rows = np.repeat(np.array(numbers, np.uint32)[:, None], PERMUTATIONS, axis=1)
        write_signatures(tmp_path / str(part) / SIGNATURES, rows)
    collection = Collection.of([tmp_path / str(part) for part in range(3)], [3, 0, 2])
    asked = np.array([4, 0, 3, 0])
    assert collection.signatures(asked)[:, 5].tolist() == [4, 0, 3, 0]
    assert len(collection.signatures(asked[:0])) == 0
