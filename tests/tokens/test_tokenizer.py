"""Loading tokenizers from all kinds of folders, their ids, and the errors and warnings about them."""

import gzip
import json
import pickle
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Core

from megatron_bio import native
from megatron_bio.tokens import word_cache
from megatron_bio.tokens.errors import TokenizerError, TokenizerWarning
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.word_cache import ByteLevelCache

REAL = Path(__file__).parents[3] / "shared/data/vocab"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CASED = [
    *SPECIAL,
    *".,()-[]",
    "Glu",
    "##cose",
    "cell",
    "##s",
    "TNF",
    "α",
    "##α",
    "mg",
    "±",
    "5",
    "P",
    "PA",
    "##D",
    "é",
]
UNCASED = [*SPECIAL, *".,()-[]", "glu", "##cose", "cell", "##s", "tnf", "α", "##α", "mg", "±", "5", "pad"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = [("c", "e"), ("l", "l"), ("ce", "ll"), ("Ġ", "cell"), ("Ġ", "a"), ("!", "Ĝ")]
BPE = {piece: number for number, piece in enumerate([*BYTES, *map("".join, MERGES), "<|endoftext|>"])}


def write_vocabulary(folder: Path, pieces: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return folder


def write_gpt2(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(BPE), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in MERGES)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def pieces(tokenizer: Tokenizer, text: str) -> list[str | None]:
    return [tokenizer.id_to_token(number) for number in tokenizer.encode_batch([text])[0].tolist()]


def test_wordpiece(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "t", CASED))
    assert tokenizer.kind == "wordpiece"
    assert not tokenizer.lowercase
    assert tokenizer.vocab_size == len(CASED)
    assert pieces(tokenizer, "Glucose (TNFα), cells.") == [
        "Glu",
        "##cose",
        "(",
        "TNF",
        "##α",
        ")",
        ",",
        "cell",
        "##s",
        ".",
    ]
    ids = tokenizer.encode_batch(["cells", ""])
    assert [array.tolist() for array in ids] == [[14, 15], []]
    assert ids[0].dtype == np.int32
    assert tokenizer.decode(ids[0]) == "cells"
    assert (tokenizer.pad, tokenizer.unk, tokenizer.cls, tokenizer.sep, tokenizer.mask) == (0, 1, 2, 3, 4)
    assert tokenizer.special_ids.tolist() == [0, 1, 2, 3, 4]
    assert tokenizer.token_to_id("##s") == 15
    assert tokenizer.token_to_id("absent") is None
    assert pieces(tokenizer, "unknowable cells") == ["[UNK]", "cell", "##s"]


def test_byte_level(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_gpt2(tmp_path / "t"))
    assert tokenizer.kind == "bpe"
    assert pieces(tokenizer, "cell a cell") == ["cell", "Ġa", "Ġcell"]
    assert tokenizer.decode(tokenizer.encode_batch(["α\n  cell"])[0]) == "α\n  cell"
    assert tokenizer.eod == BPE["<|endoftext|>"]
    assert tokenizer.has_eod
    with pytest.raises(TokenizerError, match=r"expected a token \[MASK\], found none in this bpe vocabulary"):
        _ = tokenizer.mask


def test_encode_joined(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "t", CASED))
    tokens, lengths = tokenizer.encode_joined(["cells", "", "5 mg."])
    assert lengths.tolist() == [2, 0, 3]
    assert tokens.tolist() == [14, 15, 21, 19, 5]
    tokens, lengths = tokenizer.encode_joined([])
    assert (tokens.tolist(), lengths.tolist()) == ([], [])


def test_continuation_mask(tmp_path: Path) -> None:
    wordpiece = Tokenizer.load(write_vocabulary(tmp_path / "w", CASED)).continuation_mask()
    assert wordpiece.tolist() == [piece.startswith("##") for piece in CASED]
    byte_level = Tokenizer.load(write_gpt2(tmp_path / "b")).continuation_mask()
    for piece, continues in {
        "cell": True,
        "Ġcell": False,
        "Ġ": False,
        "c": True,
        "<|endoftext|>": False,
    }.items():
        assert byte_level[BPE[piece]] == continues, piece


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_special_tokens_in_a_text_are_text(tmp_path: Path, kind: str) -> None:
    tokenizer = Tokenizer.load(
        write_vocabulary(tmp_path, CASED) if kind == "wordpiece" else write_gpt2(tmp_path)
    )
    for one in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        ids = one.encode_batch(["a [PAD] cell<|endoftext|>"])[0]
        assert not set(ids.tolist()) & (set(one.special_ids.tolist()) - {1})
    if kind == "wordpiece":
        assert pieces(tokenizer, "[PAD]") == ["[", "PA", "##D", "]"]


def random_texts(count: int) -> list[str]:
    generator = random.Random(3)
    common = " \t\n.,-()'s[]abcDEF12\xa0 "
    rare = [
        chr(point)
        for point in (*range(0x250), *range(0x300, 0x370), 0x1680, 0x180E, 0x200B, 0x2028, 0x2029, 0x202F)
    ]
    rare += [
        chr(point)
        for point in (0x205F, 0x3000, 0xFEFF, 0xFFFD, 0x4E2D, 0xAC00, 0x1F600, 0x3A3, 0x3C2, 0x1E9E, 0xFB01)
    ]
    texts = [
        "".join(
            generator.choice(rare if generator.random() < 0.3 else common)
            for _ in range(generator.randrange(40))
        )
        for _ in range(count)
    ]
    return [*texts, "A" * 300, "don't I'LL we've 's", "a  b   c \n d", "!\x1c!", "a\x85b a\x0bb"]


@pytest.mark.parametrize("kind", ["cased", "uncased", "bpe"])
def test_cached_ids_are_those_of_the_tokenizers_library(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = [
        *"abcdefABCDEF12.,-()'[]s",
        *(f"##{letter}" for letter in "abcdefABCDEFs12"),
        "é",
        "##é",
        "中",
        "!",
        "##ß",
    ]
    vocabulary = [*SPECIAL, *letters]
    if kind == "bpe":
        folder = write_gpt2(tmp_path)
        core = Core(models.BPE(vocab=BPE, merges=MERGES))
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        folder = write_vocabulary(tmp_path, vocabulary)
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": kind == "uncased"}))
        core = Core(
            models.WordPiece(
                vocab={piece: number for number, piece in enumerate(vocabulary)}, unk_token="[UNK]"
            )
        )
        core.normalizer = normalizers.BertNormalizer(lowercase=kind == "uncased")
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TokenizerWarning)
        tokenizer = Tokenizer.load(folder)
    texts = random_texts(1_500)
    expected = [encoding.ids for encoding in core.encode_batch_fast(texts, add_special_tokens=False)]
    monkeypatch.setattr(word_cache, "MOST_CHUNKS", 1_200)  # Some are remembered, some are not.
    if kind == "bpe":
        monkeypatch.setattr(native, "compiled", None)
    for _ in range(2):
        assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == expected
    if kind == "bpe":
        assert isinstance(tokenizer._encoder, ByteLevelCache)
        assert len(tokenizer._encoder) == 1_200


def test_unusual_builds_are_tokenised_without_the_cache(tmp_path: Path) -> None:
    def load(core: Core) -> Tokenizer:
        core.add_special_tokens(["<|endoftext|>"])
        core.save(str(tmp_path / "tokenizer.json"))
        return Tokenizer.load(tmp_path)

    core = Core(models.BPE(vocab=BPE, merges=MERGES))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert pieces(load(core), "cell a cell") == ["Ġcell", "Ġa", "Ġcell"]
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.normalizer = normalizers.Replace("cell a", "a")
    assert pieces(load(core), "cell a") == ["a"]
    core.normalizer = None
    core.add_tokens([AddedToken("l a c")])
    assert "l a c" in pieces(load(core), "cell a cell")


def test_truncation_and_padding_in_the_files_are_ignored(tmp_path: Path) -> None:
    core = Tokenizer.load(write_gpt2(tmp_path))._core
    core.enable_truncation(2)
    core.enable_padding(length=50)
    core.save(str(tmp_path / "tokenizer.json"))
    assert pieces(Tokenizer.load(tmp_path), "cell-cell") == ["cell", "-", "cell"]


def test_fingerprint_is_of_the_ids_not_of_the_files(tmp_path: Path) -> None:
    plain = Tokenizer.load(write_vocabulary(tmp_path / "plain", CASED))
    (tmp_path / "json").mkdir()
    (tmp_path / "json/tokenizer.json").write_text(json.dumps(json.loads(plain._core.to_str()), indent=7))
    assert Tokenizer.load(tmp_path / "json").fingerprint == plain.fingerprint
    assert Tokenizer.load(tmp_path / "plain/vocab.txt").fingerprint == plain.fingerprint
    assert pickle.loads(pickle.dumps(plain)).fingerprint == plain.fingerprint
    content = json.loads(plain._core.to_str())
    content["normalizer"]["strip_accents"] = False
    content["decoder"] = None
    (tmp_path / "json/tokenizer.json").write_text(json.dumps(content))
    assert Tokenizer.load(tmp_path / "json").fingerprint == plain.fingerprint


def test_fingerprint_is_not_of_offsets(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_gpt2(tmp_path))
    content = json.loads(tokenizer._core.to_str())
    content["pre_tokenizer"]["trim_offsets"] = not content["pre_tokenizer"]["trim_offsets"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint


def test_fingerprint_changes_with_what_changes_ids(tmp_path: Path) -> None:
    found = {Tokenizer.load(write_vocabulary(tmp_path / "t", CASED)).fingerprint}
    with pytest.warns(TokenizerWarning):
        found.add(Tokenizer.load(tmp_path / "t", lowercase=True).fingerprint)
    found.add(Tokenizer.load(write_vocabulary(tmp_path / "t", [*CASED, "New"])).fingerprint)
    found.add(Tokenizer.load(write_vocabulary(tmp_path / "t", [*SPECIAL, *reversed(CASED[5:])])).fingerprint)
    found.add(Tokenizer.load(write_gpt2(tmp_path / "g")).fingerprint)
    merges = (tmp_path / "g/merges.txt").read_text(encoding="utf-8").split("\n")
    (tmp_path / "g/merges.txt").write_text(
        "\n".join([*merges[:2], *merges[5:], *merges[2:5]]), encoding="utf-8"
    )
    found.add(Tokenizer.load(tmp_path / "g").fingerprint)
    (tmp_path / "g/tokenizer_config.json").write_text('{"add_prefix_space": true}')
    found.add(Tokenizer.load(tmp_path / "g").fingerprint)
    assert len(found) == 7


def test_case_comes_from_argument_then_config_then_vocabulary(tmp_path: Path) -> None:
    assert Tokenizer.load(write_vocabulary(tmp_path, UNCASED)).lowercase
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    with pytest.warns(TokenizerWarning, match="none of the 23 pieces has one.*set do_lower_case to true"):
        assert not Tokenizer.load(tmp_path).lowercase
    assert Tokenizer.load(tmp_path, lowercase=True).lowercase


def test_cased_vocabulary_that_is_lower_cased_warns(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, CASED)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    with pytest.warns(
        TokenizerWarning, match=r"of 26 pieces have capitals, as 'P'.*set do_lower_case to false"
    ):
        tokenizer = Tokenizer.load(tmp_path)
    assert pieces(tokenizer, "Cells") == ["cell", "##s"]
    tokenizer._core.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not Tokenizer.load(tmp_path).lowercase  # As transformers, which lets the config decide.


def test_end_of_document_is_the_eos_token_of_the_folder(tmp_path: Path) -> None:
    write_gpt2(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": {"content": "cell", "special": true}}')
    assert Tokenizer.load(tmp_path).eod == BPE["cell"]
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "Ġcell"}')
    assert Tokenizer.load(tmp_path).eod == BPE["Ġcell"]


def test_missing_special_token(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"25 tokens, found none named \[MASK\]"):
        Tokenizer.load(write_vocabulary(tmp_path, [piece for piece in CASED if piece != "[MASK]"]))


def test_repeated_token_in_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"vocab.txt: .* found 'cell' on lines 15 and 27"):
        Tokenizer.load(write_vocabulary(tmp_path, [*CASED, "cell"]))


def write(folder: Path, name: str, content: str | bytes) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "tokenizer.json",
            '{"model":\n nonsense}',
            "tokenizer.json: expected JSON, found at line 2, column 2",
        ),
        ("tokenizer.json", "[]", "expected a JSON object, found list"),
        ("tokenizer.json", "{}", "found type None"),
        ("tokenizer.json", '{"model": {"type": "Unigram", "vocab": []}}', "found type 'Unigram'"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": 1, "a": 2}}}', "found 'a' twice"),
        (
            "tokenizer.json",
            '{"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}}}',
            "found 1 for 'b' and for 'a'",
        ),
        ("tokenizer_config.json", "{", "tokenizer_config.json: expected JSON, found at line 1"),
        ("vocab.json", '{"a": 1, "b": 1}', "vocab.json: .* found 1 for 'b' and for 'a'"),
        (
            "merges.txt",
            "#version: 0.2\nc e\nx1 y1\n",
            "merges.txt: line 3: .* found 'x1 y1', where 'x1' is not in",
        ),
        ("merges.txt", "cell\n", "line 1: expected two tokens"),
        ("merges.txt", b"c \xff\n", "merges.txt: expected UTF-8, found the byte 0xff at offset 2"),
    ],
)
def test_malformed_files(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    write(write_gpt2(tmp_path), name, content)
    with pytest.raises(TokenizerError, match=words):
        Tokenizer.load(tmp_path)


def test_merges_missing(tmp_path: Path) -> None:
    (write_gpt2(tmp_path) / "merges.txt").unlink()
    with pytest.raises(TokenizerError, match=r"expected merges.txt beside vocab.json"):
        Tokenizer.load(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"found nothing\. Check the name"):
        Tokenizer.load(tmp_path / "absent")
    with pytest.raises(TokenizerError, match="found no file"):
        Tokenizer.load(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(TokenizerError, match=re.escape("found config.json.")):
        Tokenizer.load(tmp_path)
    (tmp_path / ".lost.12ab.replaced").mkdir()
    with pytest.raises(TokenizerError, match=r"interrupted run left it as .*\.lost\.12ab\.replaced"):
        Tokenizer.load(tmp_path / "lost")


def test_published_vocabularies(tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip(f"no real data at {REAL}")
    sizes = {
        "bert-cased": (28996, False),
        "bert-uncased": (30522, True),
        "biomedical-50k-uncased": (50000, True),
    }
    for name, (size, lowercase) in sizes.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tokenizer = Tokenizer.load(REAL / f"{name}.txt")
        assert (tokenizer.vocab_size, tokenizer.lowercase) == (size, lowercase)
    with pytest.raises(TokenizerError, match=r"found '\[PAD\]' on lines 1 and 2"):
        Tokenizer.load(REAL / "scibert-uncased.txt")
    (tmp_path / "vocab.json").write_bytes(gzip.decompress((REAL / "gpt2-vocab.json.gz").read_bytes()))
    (tmp_path / "merges.txt").write_bytes((REAL / "gpt2-merges.txt").read_bytes())
    tokenizer = Tokenizer.load(tmp_path)
    assert (tokenizer.vocab_size, tokenizer.eod) == (50257, 50256)
    assert tokenizer.encode_batch(["Hello world"])[0].tolist() == [15496, 995]
