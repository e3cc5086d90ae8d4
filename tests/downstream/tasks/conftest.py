"""The tokenizers of the tiny models."""

from pathlib import Path

import pytest
import transformers


@pytest.fixture
def bert(tiny_bert: Path):
    return transformers.AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture
def gpt(tiny_gpt: Path):
    return transformers.AutoTokenizer.from_pretrained(tiny_gpt)
