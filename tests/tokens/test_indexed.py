"""The .bin/.idx format: what is written is read back, what is damaged is refused, and a failure damages nothing."""

import pickle
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.config.errors import UserError
from megatron_bio.tokens import indexed, pending_files
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter

DOCUMENTS = [[[1, 2, 3], [4]], [[5, 6]], [[7, 8, 9, 10], [11], [12, 13]]]
SEQUENCES = [sequence for document in DOCUMENTS for sequence in document]


def write(prefix: Path, vocab_size: int = 100, documents: list[list[list[int]]] = DOCUMENTS) -> Path:
    with IndexedWriter(prefix, vocab_size) as writer:
        for document in documents:
            for sequence in document:
                writer.add_sequence(np.array(sequence))
            writer.end_document()
    return prefix


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65499, "<u2"), (65500, "<i4")])
def test_round_trip(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    reader = IndexedReader(write(tmp_path / "corpus.v1", vocab_size))
    assert reader.dtype == np.dtype(dtype)
    assert [sequence.tolist() for sequence in reader] == SEQUENCES
    assert (len(reader), reader.document_count, reader.token_count) == (6, 3, 13)
    assert reader.sequence_lengths.tolist() == [3, 1, 2, 4, 1, 2]
    size = np.dtype(dtype).itemsize
    assert reader.sequence_pointers.tolist() == [place * size for place in (0, 3, 4, 6, 10, 11)]
    assert reader.document_indices.tolist() == [0, 2, 3, 6]
    assert reader.sequences(1, 4).tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert reader.sequences(2, 2).tolist() == []
    assert reader[-1].tolist() == [12, 13]
    reader.verify()


def test_bytes_are_those_of_the_table(tmp_path: Path) -> None:
    prefix = write(tmp_path / "t", 300, [[[258], [3, 4]]])
    assert (tmp_path / "t.bin").read_bytes() == bytes.fromhex("0201 0300 0400")
    assert indexed.index_path(prefix).read_bytes() == (
        b"MMIDIDX\x00\x00"
        + struct.pack("<QBQQ", 1, 8, 2, 2)
        + struct.pack("<2i", 1, 2)
        + struct.pack("<2q", 0, 2)
        + struct.pack("<2q", 0, 2)
    )


def test_batches_and_single_calls_give_the_same_files(tmp_path: Path) -> None:
    write(tmp_path / "single")
    with IndexedWriter(tmp_path / "batch", 100) as writer:
        writer.add_sequences(np.concatenate(SEQUENCES), np.array([len(sequence) for sequence in SEQUENCES]))
        writer.end_documents(np.array([2, 1, 3]))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"batch{suffix}").read_bytes() == (tmp_path / f"single{suffix}").read_bytes()


def test_pointers_continue_over_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed, "CHUNK", 2)
    reader = IndexedReader(write(tmp_path / "t"))
    assert reader.sequence_pointers.tolist() == [0, 6, 8, 12, 20, 22]
    assert [sequence.tolist() for sequence in reader] == SEQUENCES


def test_empty_data(tmp_path: Path) -> None:
    reader = IndexedReader(write(tmp_path / "t", documents=[]))
    assert (len(reader), reader.document_count, reader.token_count) == (0, 0, 0)


def test_views_are_read_only_and_pickling_sends_the_prefix(tmp_path: Path) -> None:
    reader = IndexedReader(write(tmp_path / "t", documents=[[[1] * 10_000]]))
    with pytest.raises(ValueError, match="read-only"):
        reader[0][0] = 5
    sent = pickle.dumps(reader)
    assert len(sent) < 1_000
    assert pickle.loads(sent)[0].tolist() == [1] * 10_000


@pytest.mark.parametrize("index", [6, -7])
def test_sequence_out_of_range(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError, match="expected a sequence from 0 to 5"):
        IndexedReader(write(tmp_path / "t"))[index]


def test_range_out_of_range(tmp_path: Path) -> None:
    reader = IndexedReader(write(tmp_path / "t"))
    for start, stop in ((-1, 2), (3, 2), (0, 7)):
        with pytest.raises(IndexError, match="expected 0 <= start <= stop <= 6"):
            reader.sequences(start, stop)


@pytest.mark.parametrize(
    ("tokens", "lengths", "words"),
    [
        ([1, 100], [2], "ids from 0 to 99, found 1 to 100"),
        ([-1], [1], "ids from 0 to 99, found -1"),
        ([1, 2], [2, 0], "at least one token"),
        ([1, 2], [1], "fill the 2 tokens"),
    ],
)
def test_wrong_tokens_are_refused(tmp_path: Path, tokens: list[int], lengths: list[int], words: str) -> None:
    with pytest.raises(TokenDataError, match=words), IndexedWriter(tmp_path / "t", 100) as writer:
        writer.add_sequences(np.array(tokens), np.array(lengths))
    assert list(tmp_path.iterdir()) == []


def test_sequences_without_end_of_document_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(TokenDataError, match="found 1 after the last end"),
        IndexedWriter(tmp_path / "t", 9) as writer,
    ):
        writer.add_sequence(np.array([1]))
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_earlier_files(tmp_path: Path) -> None:
    write(tmp_path / "t")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt), IndexedWriter(tmp_path / "t", 9) as writer:
        writer.add_sequence(np.array([1]))
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_full_disk_is_a_user_error_and_leaves_earlier_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "t")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pending_files.os, "fsync", full_disk)
    with pytest.raises(UserError, match=r"t\.bin.*No space left on device.*free space"):
        write(tmp_path / "t", documents=[[[5]]])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_index_is_renamed_after_data_and_vouching_file_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    publish = pending_files.PendingFile.publish

    def record(file: pending_files.PendingFile) -> None:
        order.append(file.path.name)
        publish(file)

    monkeypatch.setattr(pending_files.PendingFile, "publish", record)
    with IndexedWriter(tmp_path / "t", 9) as writer:
        writer.add_sequence(np.array([1]))
        writer.end_document()
        writer.finish()
        writer.add_file(tmp_path / "t.json", b"{}")
        assert not (tmp_path / "t.bin").exists()
    assert order == ["t.bin", "t.idx", "t.json"]


def test_modes_of_multimodal_data_are_tolerated(tmp_path: Path) -> None:
    write(tmp_path / "t")
    with (tmp_path / "t.idx").open("ab") as file:
        file.write(bytes(6))
    assert len(IndexedReader(tmp_path / "t")) == 6


def change(path: Path, offset: int, form: str, value: object) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (0, "9s", b"TNTIDX\x00\x00", "older lazy or cached"),
        (0, "9s", b"nonsense!", r"expected a header of 34 bytes that begins with b'MMIDIDX"),
        (9, "<Q", 2, "expected version 1 at byte 9, found 2"),
        (17, "B", 7, r"found 7 \(float32\)"),
        (17, "B", 99, "found 99"),
        (18, "<Q", 7, r"expected 150 bytes \(157 with modes\) .* found 138 bytes"),
        (26, "<Q", 2, r"expected 122 bytes .* 1 documents .* found 138 bytes"),
        (34 + 4, "<i", 2, "expected sequence 2 at byte 10 of the .bin file, .* found 8"),
        (34 + 20, "<i", 3, r"t.bin: expected 28 bytes, .* found 26 bytes"),
        (34 + 24, "<q", 2, "expected sequence 0 at byte 0 .* found 2"),
        (34 + 24 + 8, "<q", 4, "expected sequence 1 at byte 6 .* found 4"),
        (34 + 72, "<q", 1, "expected document indices from 0 to the 6 sequences, found 1 to 6"),
        (34 + 72 + 24, "<q", 5, "found 0 to 5"),
        (34 + 72 + 8, "<q", 5, "never fall"),
    ],
)
def test_damaged_index_is_refused(tmp_path: Path, offset: int, form: str, value: object, words: str) -> None:
    write(tmp_path / "t")
    change(tmp_path / "t.idx", offset, form, value)
    with pytest.raises(TokenDataError, match=words):
        IndexedReader(tmp_path / "t")


@pytest.mark.parametrize("size", [0, 5, 33])
def test_index_without_header_is_refused(tmp_path: Path, size: int) -> None:
    write(tmp_path / "t")
    (tmp_path / "t.idx").write_bytes((tmp_path / "t.idx").read_bytes()[:size])
    with pytest.raises(TokenDataError, match=f"expected a header of 34 bytes .* found {size} bytes"):
        IndexedReader(tmp_path / "t")


@pytest.mark.parametrize("size", [0, 25, 27])
def test_data_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    write(tmp_path / "t")
    (tmp_path / "t.bin").write_bytes(bytes(size))
    with pytest.raises(TokenDataError, match=f"expected 26 bytes.*found {size} bytes"):
        IndexedReader(tmp_path / "t")


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "t")
    (tmp_path / f"t{suffix}").unlink()
    with pytest.raises(TokenDataError, match=rf"t{suffix}: expected token data.*Give the prefix"):
        IndexedReader(tmp_path / "t")


def test_large_index_is_sampled_at_opening_and_checked_in_full_by_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 20_000
    with IndexedWriter(tmp_path / "t", 100) as writer:
        writer.add_sequences(np.ones(count, np.int64), np.ones(count, np.int64))
        writer.end_documents(np.ones(count, np.int64))
    change(tmp_path / "t.idx", 34 + 4 * count + 8 * 3, "<q", 7)
    monkeypatch.setattr(indexed, "CHUNK", 1_000)
    reader = IndexedReader(tmp_path / "t")
    with pytest.raises(TokenDataError, match="expected sequence 3 at byte 6"):
        reader.verify()
    change(tmp_path / "t.idx", 34 + 4 * count + 8 * 1, "<q", 7)
    with pytest.raises(TokenDataError, match="expected sequence 1 at byte 2"):
        IndexedReader(tmp_path / "t")


def test_kill_leaves_earlier_files_and_the_next_run_works(tmp_path: Path) -> None:
    write(tmp_path / "t")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    program = """if True:
        import os, signal, sys
        import numpy as np
        from pathlib import Path
        from megatron_bio.tokens.indexed import IndexedWriter
        with IndexedWriter(Path(sys.argv[1]), 100) as writer:
            writer.add_sequences(np.ones(10**6, int), np.ones(10**6, int))
            writer.end_document()
            writer.finish()
            os.kill(os.getpid(), signal.SIGKILL)"""
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path / "t")], check=False)
    assert result.returncode == -signal.SIGKILL
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert all(path.name in before or path.name.endswith(".partial") for path in tmp_path.iterdir())
    assert len(IndexedReader(write(tmp_path / "t", documents=[[[5]]]))) == 1


@pytest.mark.parametrize("seed", range(6))
def test_any_bytes_in_the_index_are_refused_or_read_within_bounds(tmp_path: Path, seed: int) -> None:
    """Huge counts, products beyond 64 bits, negative lengths, pointers anywhere: 400 damaged indices."""
    write(tmp_path / "t")
    good = (tmp_path / "t.idx").read_bytes()
    generator = np.random.default_rng(seed)
    extremes = [0, 1, -1, 2**31 - 1, -(2**31), 2**62, -(2**63), 2**63 - 1, (2**64 - 34) // 12 - 2**63]
    refused = 0
    for _ in range(400):
        content = bytearray(good)
        for _ in range(generator.integers(1, 4)):
            offset = int(generator.integers(9, len(good) - 8))
            value = (
                int(generator.choice(extremes))
                if generator.random() < 0.7
                else int(generator.integers(2**40))
            )
            struct.pack_into("<q", content, offset, value)
        (tmp_path / "t.idx").write_bytes(
            content[: generator.integers(0, len(good) + 1)] if seed == 5 else content
        )
        try:
            reader = IndexedReader(tmp_path / "t")
            reader.verify()
        except TokenDataError as error:
            assert "t.idx" in str(error) or "t.bin" in str(error)
            refused += 1
            continue
        assert [len(sequence) for sequence in reader] == reader.sequence_lengths.tolist()
        assert sum(map(len, reader)) == reader.token_count == 13
    assert refused > 300
