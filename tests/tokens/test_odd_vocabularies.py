"""Vocabularies that are not as expected are right, or refused with a message that says what is wrong; never silently wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Core
from tokenizers import models, normalizers, pre_tokenizers

from megatron_bio.config.data import DataConfig
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.data.build import open_training_data
from megatron_bio.tokens.errors import TokenizerError, TokenizerWarning
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import read_tokenizer_files
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [".", "Mice", "cell", "##s", "rats", "lived"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
BPE = {piece: number for number, piece in enumerate([*BYTES, "ce", "cel", "<|endoftext|>"])}
MARK = b"\xef\xbb\xbf"


def wordpiece(folder: Path, lines: list[str], end: str = "\n", start: bytes = b"") -> Path:
    folder.mkdir()
    (folder / "vocab.txt").write_bytes(start + "".join(line + end for line in lines).encode())
    return folder


def byte_level(
    folder: Path, vocabulary: dict[str, Any], merges: str = "c e\nce l\n", start: bytes = b""
) -> Path:
    folder.mkdir()
    (folder / "vocab.json").write_bytes(start + json.dumps(vocabulary).encode())
    (folder / "merges.txt").write_bytes(start + f"#version: 0.2\n{merges}".encode())
    return folder


@pytest.mark.parametrize("place", range(0, 12, 3))
def test_pad_anywhere(tmp_path: Path, place: int) -> None:
    others = [*SPECIAL[1:], *WORDS]
    lines = [*others[:place], "[PAD]", *others[place:]]
    tokenizer = Tokenizer.load(wordpiece(tmp_path / "t", lines))
    assert tokenizer.pad == place
    assert tokenizer.encode_batch(["Mice lived."])[0].tolist() == [
        lines.index(piece) for piece in ("Mice", "lived", ".")
    ]
    special = (tokenizer.unk, tokenizer.cls, tokenizer.sep, tokenizer.mask)
    assert special == tuple(map(lines.index, SPECIAL[1:]))


def test_from_text_to_batches_with_pad_last_and_an_odd_size(tmp_path: Path) -> None:
    """13 tokens, no multiple of anything; what is filled up is filled with the tokenizer's own [PAD]."""
    lines = [*SPECIAL[1:], *WORDS, "all", "[unused0]", "[PAD]"]
    folder = wordpiece(tmp_path / "t", lines)
    texts = tmp_path / "texts.jsonl"
    documents = [{"id": str(number), "text": "Mice lived. rats lived. cells."} for number in range(40)]
    texts.write_text("".join(json.dumps(document) + "\n" for document in documents))
    output = tmp_path / "tokens"
    preprocess(PreprocessOptions(inputs=[str(texts)], tokenizer=folder, output=output, progress=False))
    assert IndexedReader(output).token_count == 40 * 9
    config = DataConfig(
        prefixes=[str(output)], tokenizer=str(folder), sequence_length=32, split=(1.0, 0.0, 0.0)
    )
    data = open_training_data(config, "bert")
    assert data.vocab_size == 13
    tokens = np.asarray(data.train.batch(np.arange(4)).tokens)
    assert 12 in tokens
    assert 0 not in tokens  # [UNK]


@pytest.mark.parametrize("absent", SPECIAL)
def test_a_special_token_lacks(tmp_path: Path, absent: str) -> None:
    lines = [line for line in [*SPECIAL, *WORDS] if line != absent]
    with pytest.raises(TokenizerError, match=rf"found none named \{absent}\. Add them"):
        Tokenizer.load(wordpiece(tmp_path / "t", lines))


def test_the_end_of_a_document_lacks(tmp_path: Path) -> None:
    vocabulary = {piece: number for piece, number in BPE.items() if piece != "<|endoftext|>"}
    with pytest.raises(TokenizerError, match=r"found none named <\|endoftext\|>"):
        Tokenizer.load(byte_level(tmp_path / "t", vocabulary))


@pytest.mark.parametrize(("end", "start"), [("\r\n", b""), ("\n", MARK), ("\r\n", MARK)])
def test_line_ends_and_byte_order_marks_are_no_part_of_tokens(tmp_path: Path, end: str, start: bytes) -> None:
    plain = Tokenizer.load(wordpiece(tmp_path / "plain", ["cell", *SPECIAL, "Mice"]))
    odd = Tokenizer.load(wordpiece(tmp_path / "odd", ["cell", *SPECIAL, "Mice"], end, start))
    assert odd.fingerprint == plain.fingerprint
    assert odd.encode_batch(["cell Mice"])[0].tolist() == [0, 6]


def test_the_same_of_byte_level(tmp_path: Path) -> None:
    plain = Tokenizer.load(byte_level(tmp_path / "plain", BPE))
    assert (
        Tokenizer.load(byte_level(tmp_path / "odd", BPE, "c e\r\nce l\r\n", MARK)).fingerprint
        == plain.fingerprint
    )
    assert plain.encode_batch(["cel"])[0].tolist() == [BPE["cel"]]


def test_blank_lines(tmp_path: Path) -> None:
    """At the end they are nothing; one in the middle keeps its id, so that those after it are right; two share a token."""
    end = Tokenizer.load(wordpiece(tmp_path / "end", [*SPECIAL, *WORDS, "", ""]))
    assert end.vocab_size == 11
    middle = Tokenizer.load(wordpiece(tmp_path / "middle", [*SPECIAL, "", *WORDS]))
    assert middle.encode_batch(["Mice rats"])[0].tolist() == [7, 10]
    with pytest.raises(TokenizerError, match="found '' on lines 6 and 13"):
        Tokenizer.load(wordpiece(tmp_path / "two", [*SPECIAL, "", *WORDS, "", "a"]))


def test_a_file_of_another_name_is_not_taken_for_its_neighbour(tmp_path: Path) -> None:
    folder = byte_level(tmp_path / "t", BPE)
    assert Tokenizer.load(folder / "vocab.json").vocab_size == len(BPE)
    other = folder / "other-vocab.json"
    other.write_text(json.dumps(BPE | {"ba": len(BPE)}))
    with pytest.raises(TokenizerError, match=r"other-vocab.json: expected .* found a file of another name"):
        Tokenizer.load(other)


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="vocabulary of 0 tokens, found none named"):
        Tokenizer.load(wordpiece(tmp_path / "t", []))


@pytest.mark.parametrize("lowercase", [True, False])
def test_case_that_contradicts_the_vocabulary_is_said(tmp_path: Path, lowercase: bool) -> None:
    words = ["Mice", "Cell"] if lowercase else ["mice", "cell"]
    folder = wordpiece(tmp_path / "t", [*SPECIAL, *words])
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
    with pytest.warns(TokenizerWarning, match="do_lower_case"):
        assert Tokenizer.load(folder).lowercase == lowercase


def test_ids_without_a_token(tmp_path: Path) -> None:
    """A model gets a row for each of them, and nothing else changes."""
    tokenizer = Tokenizer.load(byte_level(tmp_path / "t", BPE | {"zz": 400}))
    assert tokenizer.vocab_size == 401
    assert tokenizer.encode_batch(["cel"])[0].tolist() == [BPE["cel"]]
    assert tokenizer.id_to_token(300) is None
    write_tokenizer_folder(tmp_path / "again", tokenizer._core)
    assert json.loads((tmp_path / "again/vocab.json").read_text())["zz"] == 400
    assert Tokenizer.load(tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_vocab_txt_cannot_leave_ids_out(tmp_path: Path) -> None:
    core = Core(
        models.WordPiece(
            {token: number for number, token in enumerate(SPECIAL)} | {"cell": 6}, unk_token="[UNK]"
        )
    )
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.add_special_tokens(SPECIAL)
    with pytest.raises(TokenizerError, match="each id up to 6, found none for 1 of them, as 5"):
        write_tokenizer_folder(tmp_path / "t", core)


@pytest.mark.parametrize("number", [-1, 2**31, 2**40, 5_000])
def test_ids_that_no_model_can_have(tmp_path: Path, number: int) -> None:
    with pytest.raises(
        TokenizerError, match=rf"vocab.json: expected ids from 0 to about 259.* found {number} for 'zz'"
    ):
        Tokenizer.load(byte_level(tmp_path / "t", BPE | {"zz": number}))


@pytest.mark.parametrize("number", [True, "7", 1.0, None])
def test_ids_that_are_none(tmp_path: Path, number: object) -> None:
    with pytest.raises(TokenizerError, match=r"vocab.json: expected an id of its own for each token"):
        Tokenizer.load(byte_level(tmp_path / "t", BPE | {"zz": number}))


def test_a_byte_lacks(tmp_path: Path) -> None:
    """The library would leave it out of every text and say nothing."""
    vocabulary = {piece: number for piece, number in BPE.items() if piece != "z"}
    with pytest.raises(TokenizerError, match="each of the 256 bytes, found none for 1 of them, as 'z'"):
        Tokenizer.load(byte_level(tmp_path / "t", vocabulary))


@pytest.mark.parametrize(("merges", "found"), [("c x\n", "'c x'"), ("c e l\n", "'c e l'"), ("c\n", "'c'")])
def test_merges_of_another_vocabulary(tmp_path: Path, merges: str, found: str) -> None:
    with pytest.raises(TokenizerError, match=rf"merges.txt: line 2: expected two tokens .* found {found}"):
        Tokenizer.load(byte_level(tmp_path / "t", BPE, merges))


def with_model(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a folder that holds tokenizer.json alone, that of another folder with its model changed."""
    content = json.loads(read_tokenizer_files(folder, None).core.to_str())
    change(content["model"])
    other = folder.with_name("changed")
    other.mkdir(exist_ok=True)
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return other


def test_a_model_that_draws_its_pieces_is_refused(tmp_path: Path) -> None:
    plain = byte_level(tmp_path / "t", BPE)
    with pytest.raises(TokenizerError, match=r"BPE model with dropout 0\.5, which draws them"):
        Tokenizer.load(with_model(plain, lambda model: model.update(dropout=0.5)))
    never = Tokenizer.load(with_model(plain, lambda model: model.update(dropout=0.0)))
    expected = Tokenizer.load(plain).encode_batch(["cell cells"])[0].tolist()
    assert never.encode_batch(["cell cells"])[0].tolist() == expected


def test_another_mark_of_continued_words_is_refused(tmp_path: Path) -> None:
    """Words are told by the mark ##: with another one, pieces inside words would be masked as if they were words."""

    def rename(model: dict[str, Any]) -> None:
        model["continuing_subword_prefix"] = "@@"
        model["vocab"] = {piece.replace("##", "@@"): number for piece, number in model["vocab"].items()}

    plain = wordpiece(tmp_path / "t", [*SPECIAL, *WORDS])
    Tokenizer.load(with_model(plain, lambda model: None))
    with pytest.raises(TokenizerError, match=r"expected pieces .* to begin with ##, found the mark '@@'"):
        Tokenizer.load(with_model(plain, rename))
