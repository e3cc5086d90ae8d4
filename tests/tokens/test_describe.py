"""What is said about token data."""

import json
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.tokens import describe, indexed
from megatron_bio.tokens.describe import describe_indexed, length_percentiles
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import IndexedWriter
from megatron_bio.tokens.tokenizer import Tokenizer


def write(prefix: Path) -> Path:
    with IndexedWriter(prefix, 100) as writer:
        for document in ([[5, 6], [7]], [[5] * 10]):
            for sequence in document:
                writer.add_sequence(np.array(sequence))
            writer.end_document()
    return prefix


def test_data_from_elsewhere(tmp_path: Path) -> None:
    assert describe_indexed(write(tmp_path / "t")) == {
        "documents": 2,
        "sequences": 3,
        "tokens": 13,
        "dtype": "uint16",
        "bin_bytes": 26,
        "idx_bytes": 34 + 3 * 12 + 3 * 8,
        "tokens_per_sequence": {
            "smallest": 1,
            "p1": 1,
            "p10": 1,
            "p50": 2,
            "p90": 10,
            "p99": 10,
            "largest": 10,
        },
        "sequences_per_document": {
            "smallest": 1,
            "p1": 1,
            "p10": 1,
            "p50": 1,
            "p90": 2,
            "p99": 2,
            "largest": 2,
        },
        "kind": None,
        "tokenizer": None,
        "tokenizer_fingerprint": None,
    }
    json.dumps(describe_indexed(tmp_path / "t"))


def test_first_document_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrats\nmice\ndied")
    tokenizer = Tokenizer.load(tmp_path)
    write(tmp_path / "t")
    assert describe_indexed(tmp_path / "t", tokenizer)["first_document"] == "rats mice died"
    monkeypatch.setattr(describe, "SHOWN_TOKENS", 2)
    assert describe_indexed(tmp_path / "t", tokenizer)["first_document"] == "rats mice …"


def test_empty_data(tmp_path: Path) -> None:
    with IndexedWriter(tmp_path / "t", 100):
        pass
    described = describe_indexed(tmp_path / "t")
    assert (described["tokens_per_sequence"], described["sequences_per_document"]) == ({}, {})


def test_damage_is_raised(tmp_path: Path) -> None:
    write(tmp_path / "t")
    (tmp_path / "t.bin").write_bytes(b"")
    with pytest.raises(TokenDataError):
        describe_indexed(tmp_path / "t")


def test_percentiles_are_exact_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "CHUNK", 7)
    assert indexed.CHUNK > 7
    lengths = np.random.default_rng(2).permutation(np.arange(1, 101))
    assert length_percentiles(lengths) == {
        "smallest": 1,
        "p1": 1,
        "p10": 10,
        "p50": 50,
        "p90": 90,
        "p99": 99,
        "largest": 100,
    }
