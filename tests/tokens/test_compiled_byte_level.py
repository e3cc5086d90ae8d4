"""The compiled byte-level BPE gives the ids of the tokenizers library for every text, or is not used."""

import gzip
import json
import lzma
import random
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Core

from megatron_bio import native
from megatron_bio.tokens import compiled_byte_level
from megatron_bio.tokens.compiled_byte_level import CompiledByteLevel
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_byte_level

pytestmark = pytest.mark.skipif(native.compiled is None, reason=f"no compiled parts: {native.reason}")

DATA = Path(__file__).parents[3] / "shared/data"
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
LETTERS = "acelstĠ1'!ÂÄĀ"


@cache
def core() -> Core:
    """Random merges of a few bytes, so that several apply to a place and join again what was joined; ids in no order."""
    generator = random.Random(5)
    pieces = list(LETTERS)
    merges: dict[tuple[str, str], None] = {}
    while len(merges) < 600:
        left, right = generator.choice(pieces), generator.choice(pieces)
        if (left, right) not in merges and len(left + right) < 12:
            merges[left, right] = None
            pieces.append(left + right)
    vocabulary = list(dict.fromkeys([*BYTES, *pieces, "<|endoftext|>"]))
    generator.shuffle(vocabulary)
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    built = build_byte_level(ids, list(merges), add_prefix_space=False)
    built.encode_special_tokens = True
    return built


@cache
def compiled(tokenizer: Core) -> Callable[[Sequence[str]], list[list[int]]]:
    encoder = compiled_byte_level.load(tokenizer)
    assert encoder is not None

    def encode(texts: Sequence[str]) -> list[list[int]]:
        ids, lengths = encoder.encode_joined(texts)
        assert ids.dtype == lengths.dtype == np.int32
        assert lengths.sum() == len(ids)
        return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(texts) else []

    return encode


def expected(tokenizer: Core, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
odd_characters = st.sampled_from(
    "\x00\t\n\r\x0b\x0c\x1c\x1f\x7f\x85\xa0\xad\u0301\u0378\u0660\u0b72\u1680\u180e\u2003\u200b\u2028\u202f\u205f\u2160\u3000\u3007"
    "\u4e2d\uac01\ufb2c\ufeff\ufffd\U0001d7ce\U0001f600\U000e0041\U0010ffff²½ªͺ"
)
pieces = st.sampled_from(
    [
        "'s",
        "'t",
        "'re",
        "'ve",
        "'m",
        "'ll",
        "'d",
        "'S",
        "''s",
        " 's",
        "'l",
        "'",
        "  ",
        " \n",
        "\n ",
        "\n\n",
        "<|endoftext|>",
        "a" * 14,
        "a" * 15,
        "a" * 16,
        "ace" * 43,
        "le" * 64,
        "le" * 65,
        "é" * 64,
        "1" * 129,
        " " * 129,
        "a\x00",
        "cell",
    ]
)
texts = st.lists(
    st.one_of(any_text, odd_characters, pieces, st.text("acelst 1'!\n", max_size=24)), max_size=8
).map("".join)


@settings(max_examples=400, deadline=None)
@given(batch=st.lists(texts, max_size=4))
@example(
    batch=[
        "",
        " ",
        "  ",
        "a  b",
        "a \n b",
        "a\x00",
        "a\x00\x00",
        "\x00",
        "I'llama we'velt 's' 'sa a's 1's !'s",
    ]
)
def test_ids_are_those_of_the_library(batch: list[str]) -> None:
    assert compiled(core())(batch) == expected(core(), batch)


def contexts(points: Iterable[int]) -> list[str]:
    """Each character beside its like, letters, numbers, signs, white space and apostrophes."""
    return [
        f"a{c}a 1{c}1!{c}! {c}{c} \n{c}\n'{c}'s{c} {c}"
        for c in map(chr, points)
        if not 0xD800 <= ord(c) < 0xE000
    ]


def test_nearly_every_kind_of_character() -> None:
    batch = contexts(chain(range(0x3400), range(0x3400, sys.maxunicode + 1, 97)))
    assert len(batch) > 20_000
    assert compiled(core())(batch) == expected(core(), batch)


@pytest.mark.slow
def test_every_character() -> None:
    for start in range(0, sys.maxunicode + 1, 1 << 14):
        batch = contexts(range(start, min(start + (1 << 14), sys.maxunicode + 1)))
        assert compiled(core())(batch) == expected(core(), batch)


def test_more_pieces_than_are_remembered() -> None:
    """Short and long ones; twice; and some too long to be merged here."""
    short = [
        " ".join(f"w{number:x}" for number in range(start, start + 1000)) for start in range(0, 140_000, 1000)
    ]
    long = [" ".join(f"{'acetals' * 4}é{chr(0x4E00 + number)}" for number in range(20_000))]
    batch = [*short, *long, "acetal" * 5_000, "α" * 5_000, " " * 5_000, "!'" * 5_000]
    ids = expected(core(), batch)
    assert compiled(core())(batch) == ids
    assert compiled(core())(batch) == ids


def test_the_longer_ones_are_forgotten_when_they_are_too_many() -> None:
    encode = compiled(core())
    batch = [
        " ".join(
            f"{chr(0x4E00 + number % 20_000)}{'é' * 50}{chr(0x4E00 + start + number)}"
            for number in range(2_000)
        )
        for start in range(0, 16_000, 400)
    ]
    assert encode(batch) == encode(batch) == expected(core(), batch)


def test_of_two_merges_of_one_pair_the_later_counts() -> None:
    vocabulary = {piece: number for number, piece in enumerate([*BYTES, "ac", "ce", "<|endoftext|>"])}
    twice = build_byte_level(vocabulary, [("a", "c"), ("c", "e"), ("a", "c")], add_prefix_space=False)
    twice.encode_special_tokens = True
    assert compiled(twice)(["ace"]) == expected(twice, ["ace"])


def test_threads_share_an_encoder() -> None:
    encode = compiled(core())
    batches = [
        [f" cell{number} taste{chr(0x400 + number * thread)}" for number in range(500)]
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
    assert [found[number] for number in range(len(batches))] == [expected(core(), batch) for batch in batches]


def unusual(name: str) -> Core:
    built = Core.from_str(core().to_str())
    built.encode_special_tokens = True
    match name:
        case "added":
            built.add_tokens([AddedToken("l a c")])
        case "normalizer":
            built.normalizer = normalizers.Replace("a", "b")
        case "space first":
            built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        case "no pattern":
            built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        case "other pattern":
            built.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            )
        case "words whole":
            built.model.ignore_merges = True
        case "special tokens":
            built.encode_special_tokens = False
        case "a byte lacks":
            vocabulary = {piece: number for piece, number in built.get_vocab().items() if piece != "z"}
            built.model = models.BPE(vocab=vocabulary, merges=[], unk_token="a")
    return built


@pytest.mark.parametrize(
    "name",
    [
        "added",
        "normalizer",
        "space first",
        "no pattern",
        "other pattern",
        "words whole",
        "special tokens",
        "a byte lacks",
    ],
)
def test_unusual_builds_are_left_to_the_library(name: str) -> None:
    built = unusual(name)
    assert compiled_byte_level.load(built) is None
    batch = ["a cell12 a l a c cells z"]
    peer = expected(built, batch)
    assert [ids.tolist() for ids in Tokenizer(built, name).encode_batch(batch)] == peer


@pytest.mark.parametrize("text", ["cell \ud800", "\udfff"])
def test_half_of_a_pair_is_refused(text: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        compiled(core())([text])
    assert compiled(core())(["cells"]) == expected(core(), ["cells"])


def test_wrong_arguments_are_refused() -> None:
    assert native.compiled is not None
    kind, ids = (lambda _: "letter"), (lambda _: [0])
    with pytest.raises(ValueError, match="256 bytes"):
        native.compiled.ByteLevel([1, 2], [], kind, ids)
    with pytest.raises(ValueError, match="negative"):
        native.compiled.ByteLevel([-1] * 256, [], kind, ids)
    with pytest.raises(ValueError, match="negative"):
        native.compiled.ByteLevel([1] * 256, [(1, -1, 2)], kind, ids)
    with pytest.raises(ValueError, match="GPT-2's pattern"):
        native.compiled.ByteLevel([1] * 256, [], kind, ids)
    with pytest.raises(ValueError, match="no kind of character: odd"):
        native.compiled.ByteLevel([1] * 256, [], lambda _: "odd", ids)


def real_texts(name: str, step: int) -> list[str]:
    path = DATA / "text" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        documents = map(json.loads, islice(lines, 0, None, step))
        return [f"{document.get('title', '')}\n{document['text']}" for document in documents]


@cache
def gpt2() -> Tokenizer:
    folder = DATA / "vocab"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    lines = (folder / "gpt2-merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines[1:]) if right]
    vocabulary = json.loads(gzip.decompress((folder / "gpt2-vocab.json.gz").read_bytes()))
    tokenizer = Tokenizer(build_byte_level(vocabulary, merges, add_prefix_space=False), "gpt2")
    assert isinstance(tokenizer._encoder, CompiledByteLevel)
    return tokenizer


def check_real_texts(batch: list[str]) -> None:
    for start in range(0, len(batch), 1000):
        part = batch[start : start + 1000]
        ids, lengths = gpt2().encode_joined(part)
        found = expected(gpt2()._core, part)
        assert lengths.tolist() == list(map(len, found))
        assert ids.tolist() == list(chain.from_iterable(found))


def test_real_texts() -> None:
    check_real_texts([*real_texts("abstracts.jsonl.xz", 40), *real_texts("pmc-open.jsonl.xz", 300)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["abstracts.jsonl.xz", "pmc-open.jsonl.xz"])
def test_all_real_texts(name: str) -> None:
    check_real_texts(real_texts(name, 1))
