"""Batches encoded by worker processes; what workers promise is tested in tests/corpus/test_workers.py."""

import os
from pathlib import Path

import pytest

from megatron_bio.corpus.workers import WorkerDiedError
from megatron_bio.tokens.encoding import Batch, EncodedBatch, Encoder
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.workers import encode_in_order


class TellingEncoder(Encoder):
    """Dies in one batch, and tells through a count what its process was told about threads."""

    def encode(self, batch: Batch) -> EncodedBatch:
        if batch.place == "documents raised":
            raise RuntimeError("a defect")
        encoded = super().encode(batch)
        encoded.skipped["threads off"] = int(os.environ.get("TOKENIZERS_PARALLELISM") == "false")
        return encoded


@pytest.mark.parametrize("workers", [1, 2])
def test_order_and_threads(wordpiece: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    encoder = TellingEncoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    batches = [Batch(texts=[("mice", "died")] * count, place=str(count)) for count in range(1, 12)]
    results = list(encode_in_order(encoder, batches, workers))
    assert [len(result.sequences_per_document) for result in results] == list(range(1, 12))
    assert {result.skipped["threads off"] for result in results} == {int(workers > 1)}
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_a_worker_that_dies_names_its_batch(wordpiece: Path) -> None:
    encoder = TellingEncoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    batches = [Batch(texts=[("mice", "died")], place=place) for place in ("0", "1", "documents raised", "3")]
    with pytest.raises(WorkerDiedError, match="ended with exit code 1 while it worked on documents raised"):
        list(encode_in_order(encoder, batches, 2))
