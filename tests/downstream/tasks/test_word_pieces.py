from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.tasks.word_pieces import WordPieces

transformers = pytest.importorskip("transformers")

WORDS = [
    "Aspirin",
    "HbA1c",
    "(IL-6)",
    "\u00ad",
    "\x00\x01",
    "心筋",
    "🧬",
    "e\u0301",
    "A" * 300,
    "##s",
    "[SEP]",
    "ﬁ",
    "naïve",
]


def library(tokenizer, words: list[str]) -> list[list[int]]:
    encoded = tokenizer([words], is_split_into_words=True, add_special_tokens=False)
    found: list[list[int]] = [[] for _ in words]
    for piece, word in zip(encoded["input_ids"][0], encoded.word_ids(0), strict=True):
        found[word].append(piece)
    return found


@pytest.fixture(params=["bert", "gpt"])
def tokenizer(request: pytest.FixtureRequest):
    folder = request.getfixturevalue(f"tiny_{request.param}")
    return transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True)


def assert_equal(tokenizer, words: list[str]) -> None:
    pieces = WordPieces(tokenizer)
    expected = [tuple(found) or (pieces.unknown,) for found in library(tokenizer, words)]
    assert pieces.pieces(words) == expected


def test_equal_to_the_library_on_odd_words(tokenizer) -> None:
    assert_equal(tokenizer, WORDS)
    assert_equal(tokenizer, WORDS[::-1])


@given(words=st.lists(st.text(min_size=1), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_equal_to_the_library_on_any_words(tiny_bert_tokenizer, words: list[str]) -> None:
    assert_equal(tiny_bert_tokenizer, words)


@pytest.fixture(scope="module")
def tiny_bert_tokenizer(tiny_bert: Path):
    return transformers.AutoTokenizer.from_pretrained(tiny_bert)


def test_words_that_depend_on_their_place_go_through_the_library(tiny_bert: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    pieces = WordPieces(tokenizer)
    assert not pieces.words_are_independent
    assert_equal(tokenizer, ["fever", "fever"])


def test_a_tokenizer_that_refuses_words_apart_is_named(tiny_gpt: Path) -> None:
    tokenizer = transformers.GPT2TokenizerFast.from_pretrained(tiny_gpt, add_prefix_space=False)
    try:
        tokenizer(["a"], is_split_into_words=True)
    except AssertionError:
        with pytest.raises(ConfigurationError, match="add_prefix_space"):
            WordPieces(tokenizer).pieces(["a"])
