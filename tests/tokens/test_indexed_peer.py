"""megatron-core reads our files and writes the same bytes; we read its files."""

import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter, token_dtype

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "megatron.core.datasets.indexed_dataset"
        return pytest.importorskip(name, reason="megatron-core is not installed", exc_type=ImportError)


def documents(vocab_size: int) -> list[list[np.ndarray]]:
    generator = np.random.default_rng(5)
    return [
        [
            generator.integers(0, vocab_size, generator.integers(1, 40))
            for _ in range(generator.integers(1, 6))
        ]
        for _ in range(50)
    ]


def write_ours(prefix: Path, vocab_size: int) -> None:
    with IndexedWriter(prefix, vocab_size) as writer:
        for document in documents(vocab_size):
            for sequence in document:
                writer.add_sequence(sequence)
            writer.end_document()


def write_theirs(peer: ModuleType, prefix: Path, vocab_size: int) -> None:
    torch = peer.torch
    builder = peer.IndexedDatasetBuilder(f"{prefix}.bin", dtype=peer.DType.optimal_dtype(vocab_size))
    for document in documents(vocab_size):
        for sequence in document:
            builder.add_item(torch.from_numpy(sequence))
        builder.end_document()
    builder.finalize(f"{prefix}.idx")


@pytest.mark.parametrize("vocab_size", [30_000, 65_499, 65_500, 128_000])
def test_same_bytes_as_megatron(peer: ModuleType, tmp_path: Path, vocab_size: int) -> None:
    write_ours(tmp_path / "ours", vocab_size)
    write_theirs(peer, tmp_path / "theirs", vocab_size)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


@pytest.mark.parametrize("vocab_size", [30_000, 128_000])
def test_megatron_reads_ours(peer: ModuleType, tmp_path: Path, vocab_size: int) -> None:
    write_ours(tmp_path / "ours", vocab_size)
    dataset = peer.IndexedDataset(str(tmp_path / "ours"))
    expected = [sequence for document in documents(vocab_size) for sequence in document]
    assert len(dataset) == len(expected)
    assert all(np.array_equal(dataset[index], sequence) for index, sequence in enumerate(expected))
    assert np.diff(dataset.document_indices).tolist() == [len(document) for document in documents(vocab_size)]
    assert dataset[0].dtype == token_dtype(vocab_size)


@pytest.mark.parametrize("vocab_size", [30_000, 128_000])
def test_we_read_megatrons(peer: ModuleType, tmp_path: Path, vocab_size: int) -> None:
    write_theirs(peer, tmp_path / "theirs", vocab_size)
    reader = IndexedReader(tmp_path / "theirs")
    reader.verify()
    expected = [sequence for document in documents(vocab_size) for sequence in document]
    assert [sequence.tolist() for sequence in reader] == [sequence.tolist() for sequence in expected]
    assert np.diff(reader.document_indices).tolist() == [len(document) for document in documents(vocab_size)]
