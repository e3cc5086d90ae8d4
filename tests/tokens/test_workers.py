"""Blocks of lines encoded by worker processes; what workers promise is tested in tests/corpus/test_workers.py."""

import os
from pathlib import Path

import pytest

from megatron_bio.corpus.workers import WorkerDiedError
from megatron_bio.tokens.document_lines import LineBlock
from megatron_bio.tokens.encoding import EncodedBlock, Encoder
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.workers import encode_in_order


class TellingEncoder(Encoder):
    """Dies in one block, and tells through a count what its process was told about threads."""

    def encode(self, block: LineBlock) -> EncodedBlock:
        if block.path.name == "raised":
            raise RuntimeError("a defect")
        encoded = super().encode(block)
        encoded.parts[0].skipped["threads off"] = int(os.environ.get("TOKENIZERS_PARALLELISM") == "false")
        return encoded


def block(name: str, lines: int) -> LineBlock:
    line = b'{"title": "mice", "text": "died"}'
    return LineBlock(path=Path(name), file=0, first_line=1, lines=[line] * lines, part=0, read_bytes=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_order_and_threads(wordpiece: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    encoder = TellingEncoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    blocks = [block(str(count), count) for count in range(1, 12)]
    results = [encoded.parts[0] for encoded in encode_in_order(encoder, blocks, workers)]
    assert [len(result.sequences_per_document) for result in results] == list(range(1, 12))
    assert {result.skipped["threads off"] for result in results} == {int(workers > 1)}
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_a_worker_that_dies_names_its_block(wordpiece: Path) -> None:
    encoder = TellingEncoder(tokenizer=Tokenizer.load(wordpiece), split=True, eod=None)
    blocks = [block(name, 2) for name in ("0", "1", "raised", "3")]
    with pytest.raises(
        WorkerDiedError, match="ended with exit code 1 while it worked on raised, lines 1 to 2"
    ):
        list(encode_in_order(encoder, blocks, 2))
