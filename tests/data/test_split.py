"""The split is by document, stable under growth, and never silently without a part that was asked for."""

import numpy as np
import pytest

from megatron_bio.data.errors import DataError
from megatron_bio.data.split import split_documents


def parts(documents: int, fractions: tuple[float, float, float], seed: int = 1) -> list[list[int]]:
    split = split_documents(documents, fractions, seed)
    return [split.train.tolist(), split.validation.tolist(), split.test.tolist()]


@pytest.mark.parametrize("fractions", [(0.95, 0.05, 0.0), (0.8, 0.1, 0.1), (1.0, 0.0, 0.0), (0.5, 0.0, 0.5)])
def test_every_document_is_in_one_part_of_the_asked_size(fractions: tuple[float, float, float]) -> None:
    found = parts(20_000, fractions)
    assert sorted(document for part in found for document in part) == list(range(20_000))
    assert [len(part) / 20_000 for part in found] == pytest.approx(fractions, abs=0.01)
    assert all(part == sorted(part) for part in found)
    assert [bool(part) for part in found] == [fraction > 0 for fraction in fractions]


def test_the_split_depends_on_the_seed_alone() -> None:
    assert parts(1000, (0.9, 0.1, 0.0)) == parts(1000, (0.9, 0.1, 0.0))
    assert parts(1000, (0.9, 0.1, 0.0), seed=2) != parts(1000, (0.9, 0.1, 0.0))


def test_documents_keep_their_part_when_the_corpus_grows() -> None:
    small, large = parts(2000, (0.9, 0.1, 0.0)), parts(3000, (0.9, 0.1, 0.0))
    for before, after in zip(small, large, strict=True):
        assert before == [document for document in after if document < 2000]


@pytest.mark.parametrize("documents", [3, 4, 5, 8])
def test_tiny_corpora_give_each_part_a_document(documents: int) -> None:
    for seed in range(40):
        for fractions in ((0.98, 0.01, 0.01), (0.01, 0.98, 0.01)):
            found = parts(documents, fractions, seed)
            assert all(found)
            assert sorted(document for part in found for document in part) == list(range(documents))


def test_fewer_documents_than_parts_is_an_error_with_the_numbers() -> None:
    with pytest.raises(DataError, match=r"2 parts \(train 0.95, validation 0.05\).* holds 1 document;"):
        split_documents(1, (0.95, 0.05, 0.0), 1)


def test_fractions_whose_sum_is_rounded_lose_no_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("megatron_bio.data.split.uniform", lambda *words: np.array([0.0, 0.9, 1 - 2**-53]))
    found = parts(3, (0.5, 0.4999999, 0.0))
    assert found == [[0], [1, 2], []]
