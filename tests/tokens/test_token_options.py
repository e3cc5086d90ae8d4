"""Options that cannot work are refused with the flag and the number, and the package stays light."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.errors import ConfigurationError, UserError
from megatron_bio.config.tokens import PreprocessOptions, TrainVocabularyOptions
from megatron_bio.tokens import errors

VOCABULARY = TrainVocabularyOptions(inputs=["a.jsonl"], output=Path("tokenizer"))
PREPROCESS = PreprocessOptions(inputs=["a.jsonl"], tokenizer=Path("tokenizer"), output=Path("tokens/pubmed"))


@pytest.mark.parametrize(
    ("options", "change", "words"),
    [
        (VOCABULARY, {"inputs": []}, r"--inputs: expected at least one .* found \[\]"),
        (VOCABULARY, {"inputs": [""]}, "--inputs"),
        (VOCABULARY, {"type": "unigram"}, "--type: expected 'wordpiece' or 'bpe', found 'unigram'"),
        (VOCABULARY, {"size": 15}, "--size: expected 16 to 1,000,000 tokens for wordpiece, found 15"),
        (VOCABULARY, {"type": "bpe", "size": 256}, "--size: expected 257 to .* for bpe, found 256"),
        (VOCABULARY, {"size": 1_000_001}, "found 1,000,001"),
        (VOCABULARY, {"type": "bpe", "lowercase": True}, "--lowercase"),
        (
            VOCABULARY,
            {"method": "unigram"},
            "--method: expected 'direct' or 'sentencepiece', found 'unigram'",
        ),
        (VOCABULARY, {"type": "bpe", "method": "sentencepiece"}, "--method sentencepiece makes a WordPiece"),
        (VOCABULARY, {"unused": -1}, "--unused: expected 0 or more tokens, found -1"),
        (VOCABULARY, {"type": "bpe", "unused": 1}, "--unused 1: only WordPiece"),
        (
            VOCABULARY,
            {"type": "bpe", "alphabet": 10},
            "--alphabet 10: the alphabet of byte-level bpe is the 256",
        ),
        (VOCABULARY, {"sample": -1}, "--sample: expected 0 .* found -1"),
        (
            VOCABULARY,
            {"sample_unit": "words"},
            "--sample_unit: expected 'documents' or 'characters', found 'words'",
        ),
        (VOCABULARY, {"minimum_frequency": 0}, "--minimum_frequency: expected 1 or more, found 0"),
        (VOCABULARY, {"alphabet": 0}, "--alphabet: expected 1 or more characters, found 0"),
        (PREPROCESS, {"inputs": []}, "--inputs"),
        (PREPROCESS, {"workers": 0}, "--workers: expected 1 to 512 processes, found 0"),
        (PREPROCESS, {"workers": 513}, "found 513"),
        (
            PREPROCESS,
            {"output": Path("pubmed.bin")},
            r"--output: expected a path without \.bin.* found 'pubmed\.bin'",
        ),
        (PREPROCESS, {"output": Path("x.idx")}, "--output"),
        (PREPROCESS, {"output": Path("/")}, "--output"),
    ],
)
def test_refused(options: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        replace(options, **change)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (VOCABULARY, {"size": 16, "minimum_frequency": 1, "alphabet": 1}),
        (VOCABULARY, {"size": 257, "type": "bpe"}),
        (PREPROCESS, {"workers": 512, "output": Path("pubmed.v1")}),
    ],
)
def test_accepted(options: Any, change: dict[str, Any]) -> None:
    with pytest.raises(FrozenInstanceError):
        replace(options, **change).inputs = []


def test_the_usual_sizes() -> None:
    """BioMegatron's smaller one, and BioMedLM's."""
    assert VOCABULARY.tokens == 30_000
    assert replace(VOCABULARY, type="bpe").tokens == 28_896
    assert replace(VOCABULARY, size=50_000).tokens == 50_000


def test_errors_are_user_errors() -> None:
    for error in (errors.TokenizerError, errors.TokenDataError, errors.PreprocessError):
        assert issubclass(error, UserError)


def test_nothing_here_loads_torch() -> None:
    modules = ("preprocess", "vocabulary", "describe", "sidecar", "study.run")
    program = "".join(f"import megatron_bio.tokens.{name};" for name in modules) + (
        "import sys; sys.exit(bool({'torch', 'transformers', 'megatron'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
