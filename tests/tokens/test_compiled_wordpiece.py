"""The compiled WordPiece gives the ids of the tokenizers library for every text, or is not used."""

import json
import lzma
import sys
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Core

from megatron_bio import native
from megatron_bio.tokens import compiled_wordpiece
from megatron_bio.tokens.errors import TokenizerWarning
from megatron_bio.tokens.tokenizer import Tokenizer

pytestmark = pytest.mark.skipif(native.compiled is None, reason=f"no compiled parts: {native.reason}")

DATA = Path(__file__).parents[3] / "shared/data"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "glu",
    "##cose",
    "Glu",
    "cell",
    "##s",
    "TNF",
    "tnf",
    "##-α",
    "mask",
    "mas",
    "##k",
    "##",
    "#",
    "##[",
    "naïve",
    "naive",
]
BERT: dict[str, Any] = {
    "lowercase": False,
    "strip_accents": None,
    "handle_chinese_chars": True,
    "clean_text": True,
}
BUILDS: dict[str, dict[str, Any]] = {
    "cased": {},
    "uncased": {"lowercase": True},
    "uncased with accents": {"lowercase": True, "strip_accents": False},
    "cased without accents": {"strip_accents": True},
    "Chinese words whole": {"handle_chinese_chars": False, "lowercase": True},
    "not cleaned": {"clean_text": False, "lowercase": True},
    "other prefix": {"prefix": "α", "lowercase": True},
    "no prefix": {"prefix": ""},
    "short words only": {"most_characters": 3, "unknown": "cell"},
}
MANY = {"Lo", "So", "Co", "Cn"}
"""Letters without case, signs, private characters, and what is not assigned: thousands of which most tests take some only."""


def build(
    pieces: Iterable[str],
    prefix: str = "##",
    most_characters: int = 100,
    unknown: str = "[UNK]",
    **settings: Any,
) -> Core:
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    core = Core(
        models.WordPiece(
            vocab=vocabulary,
            unk_token=unknown,
            continuing_subword_prefix=prefix,
            max_input_chars_per_word=most_characters,
        )
    )
    core.normalizer = normalizers.BertNormalizer(**(BERT | settings))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.add_special_tokens(SPECIAL)
    core.encode_special_tokens = True
    return core


@cache
def characters(every: int) -> list[str]:
    """All characters, but of the many only one out of `every`."""
    points = (point for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000)
    return [
        chr(point) for point in points if point % every == 0 or unicodedata.category(chr(point)) not in MANY
    ]


@cache
def wide_build(name: str, every: int = 397) -> tuple[Core, Callable[[Sequence[str]], list[list[int]]]]:
    """A tokenizer that has each of these characters as a piece, so that none is taken for another, and its compiled form."""
    prefix = BUILDS[name].get("prefix", "##")
    known = [character for character in characters(every) if character != "\x00"]
    core = build([*SPECIAL, *WORDS, *known, *(f"{prefix}{character}" for character in known)], **BUILDS[name])
    return core, compiled(core)


def compiled(core: Core) -> Callable[[Sequence[str]], list[list[int]]]:
    encoder = compiled_wordpiece.load(core)
    assert encoder is not None

    def encode(texts: Sequence[str]) -> list[list[int]]:
        ids, lengths = encoder.encode_joined(texts)
        assert ids.dtype == lengths.dtype == np.int32
        assert lengths.sum() == len(ids)
        return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(texts) else []

    return encode


def expected(core: Core, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in core.encode_batch_fast(list(texts), add_special_tokens=False)]


# Any character but halves of pairs, in which no text is; those that do something; words; letters that build words.
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
odd_characters = st.sampled_from(
    "\x00\t\n\r\x0b\x0c\x1c\x7f\x85\xa0\xad\u0301\u0323\u0345\u0378\u037e\u0390\u0130\u1e9e\u2003\u200b\u200d\u2028\u202e\u212a\u226f\u302e"
    "\u302f\u3000\u4e2d\uac01\uf900\ufb2c\ufeff\ufffd\U0001d15f\U0001d165\U0001d16d\U0001e944\U0001f600\U0002f800\U000e0041\U0010ffff"
)
words = st.sampled_from(
    [
        *SPECIAL,
        *WORDS,
        "MASK]",
        "glucoses",
        "TNF-α",
        "x" * 100,
        "x" * 101,
        "é" * 100,
        "é" * 101,
        "a" * 15,
        "a" * 16,
        " ",
    ]
)
texts = st.lists(
    st.one_of(any_text, odd_characters, words, st.text("abcGLU12.-[] éα中", max_size=20)), max_size=8
).map("".join)


@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=100, deadline=None)
@given(batch=st.lists(texts, max_size=4))
@example(
    batch=[
        "",
        " ",
        "[MASK] a [UNK][SEP]",
        "cell\u0301s",
        "\u0301",
        "a\u302e\U0001d165b",
        "\u226f\u302e",
        "a\x00\u0323\u302e",
    ]
)
def test_ids_are_those_of_the_library(name: str, batch: list[str]) -> None:
    core, encode = wide_build(name)
    assert encode(batch) == expected(core, batch)


def contexts(chosen: Iterable[str]) -> list[str]:
    """Each character inside a word, at both ends, beside characters that combine before and after it, and capitals."""
    return [f"a{c}b {c}é{c} a\u302e{c}\u0323\u302f.{c}\u0301 A{c}{c}A" for c in chosen]


@pytest.mark.parametrize("name", ["cased", "uncased"])
def test_nearly_every_kind_of_character(name: str) -> None:
    core, encode = wide_build(name)
    batch = contexts(characters(397))
    assert len(batch) > 12_000
    assert encode(batch) == expected(core, batch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["cased", "uncased", "uncased with accents", "cased without accents", "not cleaned"]
)
def test_every_character(name: str) -> None:
    core, encode = wide_build(name, 1)
    for start in range(0, len(characters(1)), 1 << 14):
        batch = contexts(characters(1)[start : start + (1 << 14)])
        assert encode(batch) == expected(core, batch)


def test_special_tokens_in_a_text_are_text() -> None:
    """The library by itself takes [MASK] in a text for the token; told not to, it sees three words, and so does this."""
    core, encode = wide_build("cased")
    vocabulary = core.get_vocab()
    assert encode(["[MASK]"]) == [[vocabulary[piece] for piece in ("[", "M", "##A", "##S", "##K", "]")]]
    core.encode_special_tokens = False
    try:
        assert expected(core, ["[MASK]"]) == [[vocabulary["[MASK]"]]]
        assert compiled_wordpiece.load(core) is None
    finally:
        core.encode_special_tokens = True


def test_more_words_than_are_remembered() -> None:
    """Of letters alone, and with characters that the library has to see; also twice, and too long to be remembered."""
    core, encode = wide_build("cased")
    short = [
        " ".join(f"w{number:x}" for number in range(start, start + 1000)) for start in range(0, 140_000, 1000)
    ]
    unsure = [
        " ".join(f"{number:x}a\u0323\u302e" for number in range(start, start + 500))
        for start in range(0, 30_000, 500)
    ]
    long = ["\u302e".join("glucose" for _ in range(100)), "b" * 100_000, "α" * 100_000]
    batch = [*short, *unsure, *long]
    ids = expected(core, batch)
    assert encode(batch) == ids
    assert encode(batch) == ids


def test_threads_share_an_encoder() -> None:
    core, encode = wide_build("uncased")
    batches = [
        [f"Glucose{number} cells{chr(0x400 + number * thread)}" for number in range(500)]
        for thread in range(1, 5)
    ]
    found: dict[int, list[list[int]]] = {}

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = encode(batches[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(batches))] == [expected(core, batch) for batch in batches]


def unusual_builds() -> dict[str, Core]:
    cores = {
        name: build([*SPECIAL, *WORDS])
        for name in ("added", "normalizer", "none", "pre-tokenizer", "two", "unknown")
    }
    cores["added"].add_tokens([AddedToken("u c")])
    cores["normalizer"].normalizer = normalizers.Sequence(
        [normalizers.BertNormalizer(**BERT), normalizers.Replace("a", "b")]
    )
    cores["none"].normalizer = None
    cores["pre-tokenizer"].pre_tokenizer = pre_tokenizers.Whitespace()
    cores["two"].pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split("ce", "isolated")]
    )
    cores["unknown"].model.unk_token = "[absent]"
    return cores


@pytest.mark.parametrize("name", ["added", "normalizer", "none", "pre-tokenizer", "two", "unknown"])
def test_unusual_builds_are_left_to_the_library(name: str) -> None:
    core = unusual_builds()[name]
    assert compiled_wordpiece.load(core) is None
    if name != "unknown":
        texts = ["a glu cell12 [MASK] cells"]
        assert [ids.tolist() for ids in Tokenizer(core, name).encode_batch(texts)] == expected(core, texts)


def test_half_of_a_pair_is_refused() -> None:
    core, encode = wide_build("cased")
    with pytest.raises(UnicodeEncodeError):
        encode(["cell \ud800"])
    with pytest.raises((TypeError, UnicodeEncodeError)):
        expected(core, ["cell \ud800"])
    assert encode(["cells"]) == expected(core, ["cells"])


@cache
def real_texts(name: str, step: int) -> list[str]:
    path = DATA / "text" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in islice(lines, 0, None, step)]


@pytest.mark.parametrize("vocabulary", ["bert-cased", "bert-uncased", "biomedical-50k-uncased"])
def test_real_texts(vocabulary: str) -> None:
    batch = [*real_texts("abstracts.jsonl.xz", 40), *real_texts("pmc-open.jsonl.xz", 300)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TokenizerWarning)
        tokenizer = Tokenizer.load(DATA / f"vocab/{vocabulary}.txt")
    ids, lengths = tokenizer.encode_joined(batch)
    found = expected(tokenizer._core, batch)
    assert lengths.tolist() == list(map(len, found))
    assert ids.tolist() == list(chain.from_iterable(found))
