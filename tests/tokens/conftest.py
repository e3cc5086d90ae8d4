"""A tokenizer that several tests use."""

from pathlib import Path

import pytest

WORDPIECE = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ".",
    "(",
    ")",
    "mice",
    "died",
    "rats",
    "##s",
    "all",
    "E",
    "coli",
]


@pytest.fixture
def wordpiece(tmp_path: Path) -> Path:
    folder = tmp_path / "wordpiece"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDPIECE))
    return folder
