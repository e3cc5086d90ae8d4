"""Runs an extraction and gives what came out of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.extract_text import ExtractPileOptions, ExtractTextOptions
from megatron_bio.corpus import line_batches
from megatron_bio.corpus.document import Document, read_documents
from megatron_bio.corpus.pile.extract import extract_pile
from megatron_bio.corpus.text.extract import extract_text

Extracted = tuple[list[Document], dict[str, Any]]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 200 bytes, in this process."""
    monkeypatch.setattr(line_batches, "BATCH_BYTES", 200)
    monkeypatch.setattr(line_batches, "READ_BYTES", 64)


def _result(output: Path) -> Extracted:
    report = json.loads(output.with_name(f"{output.name}.report.json").read_text())
    return list(read_documents([output])), report


@pytest.fixture
def from_text(tmp_path: Path) -> Callable[..., Extracted]:
    def run(*inputs: Path | str, **options: Any) -> Extracted:
        output = tmp_path / "out" / "text.jsonl.zst"
        extract_text(ExtractTextOptions(inputs=[str(path) for path in inputs], output=output, **options))
        return _result(output)

    return run


@pytest.fixture
def from_pile(tmp_path: Path) -> Callable[..., Extracted]:
    def run(*inputs: Path | str, **options: Any) -> Extracted:
        output = tmp_path / "out" / "pile.jsonl.zst"
        extract_pile(ExtractPileOptions(inputs=[str(path) for path in inputs], output=output, **options))
        return _result(output)

    return run
