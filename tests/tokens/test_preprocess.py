"""Documents → token data: what is stored, what is counted, with any number of workers, and what a failure leaves."""

import dataclasses
import hashlib
import json
import lzma
import random
import struct
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from megatron_bio import native
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.tokens import document_lines, pending_files
from megatron_bio.tokens.document_lines import read_line_blocks
from megatron_bio.tokens.errors import PreprocessError, TokenDataError
from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter, index_path
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.sidecar import Sidecar, check_tokenizer
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_byte_level
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

DOCUMENTS = [
    Document(id="1", title="Mice. All died", text="mice died. E. coli grew.\n(all)"),
    Document(id="2", title="", text=" \n "),
    Document(id="3", title="", text="rats died"),
    Document(id="4", title="\x01", text="\x02"),
    Document(id="5", title="mice", text="\x02\nrats"),
    Document(id="6", title="only a title", text=""),
]
SENTENCES = [
    ["[UNK] . [UNK] died", "mice died .", "E . coli [UNK] .", "( all )"],
    ["rats died"],
    ["mice", "rats"],
    ["[UNK] [UNK] [UNK]"],
]


def write_documents(path: Path, documents: list[Document]) -> str:
    with DocumentWriter(path) as writer:
        for document in documents:
            writer.write(document)
    return str(path)


def many_documents(count: int) -> list[Document]:
    generator = random.Random(1)
    words = ["mice", "died", "rats.", "All", "(all)", "E.", "coli", "0.05", "\n"]
    return [
        Document(
            id=str(number), title="mice", text=" ".join(generator.choices(words, k=generator.randrange(60)))
        )
        for number in range(count)
    ]


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"]
    core = build_byte_level(
        {piece: number for number, piece in enumerate(pieces)}, [], add_prefix_space=False
    )
    write_tokenizer_folder(tmp_path / "bpe", core)
    return tmp_path / "bpe"


@pytest.fixture
def options(tmp_path: Path, wordpiece: Path) -> PreprocessOptions:
    documents = write_documents(tmp_path / "documents.jsonl.zst", DOCUMENTS)
    return PreprocessOptions(inputs=[documents], tokenizer=wordpiece, output=tmp_path / "out/tokens.v1")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def texts(prefix: Path, tokenizer: Tokenizer) -> list[list[str]]:
    reader = IndexedReader(prefix)
    bounds = reader.document_indices.tolist()
    decoded = [" ".join(str(tokenizer.id_to_token(number)) for number in ids.tolist()) for ids in reader]
    return [decoded[start:end] for start, end in pairwise(bounds)]


def test_wordpiece_stores_sentences(options: PreprocessOptions, capsys: pytest.CaptureFixture[str]) -> None:
    preprocess(options)
    assert sorted(contents(options.output.parent)) == ["tokens.v1.bin", "tokens.v1.idx", "tokens.v1.json"]
    tokenizer = Tokenizer.load(options.tokenizer)
    assert texts(options.output, tokenizer) == SENTENCES
    sidecar = Sidecar.read(options.output)
    assert sidecar is not None
    assert (sidecar.kind, sidecar.eod, sidecar.vocab_size) == ("sentences", None, 15)
    assert (sidecar.documents, sidecar.sequences, sidecar.tokens, sidecar.unknown_tokens) == (4, 8, 22, 6)
    assert sidecar.skipped == {
        "document without tokens": 1,
        "empty document": 1,
        "sentence without tokens": 1,
    }
    assert sidecar.tokenizer_fingerprint == tokenizer.fingerprint
    report = capsys.readouterr().out
    for words in (
        "4 documents, 8 sentences, 22 tokens",
        "[UNK]: 6 tokens, 27.273%; does the vocabulary belong to this text?",
        "skipped: 1 × document without tokens, 1 × empty document, 1 × sentence without tokens",
        "documents/s",
    ):
        assert words in report


def test_without_compiled_parts_the_library_gives_the_same_bytes(
    options: PreprocessOptions,
    byte_level: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = replace(
        options, inputs=[write_documents(options.output.parent.parent / "many.jsonl", many_documents(300))]
    )
    preprocess(options)
    if native.compiled is not None:
        assert native.NOTICE not in capsys.readouterr().err
    monkeypatch.setattr(native, "compiled", None)
    without = replace(options, output=options.output.parent.parent / "without/tokens.v1")
    preprocess(without)
    assert capsys.readouterr().err.count(f"preprocess: {native.NOTICE}") == 1
    assert contents(without.output.parent) == contents(options.output.parent)
    preprocess(replace(without, tokenizer=byte_level))
    assert capsys.readouterr().err.count(f"preprocess: {native.NOTICE}") == 1


def test_byte_level_stores_documents_with_eod(options: PreprocessOptions, byte_level: Path) -> None:
    preprocess(replace(options, tokenizer=byte_level))
    tokenizer = Tokenizer.load(byte_level)
    reader = IndexedReader(options.output)
    assert [tokenizer.decode(ids) for ids in reader] == [
        "Mice. All died\nmice died. E. coli grew.\n(all)<|endoftext|>",
        "rats died<|endoftext|>",
        "\x01\n\x02<|endoftext|>",
        "mice\n\x02\nrats<|endoftext|>",
        "only a title<|endoftext|>",
    ]
    assert reader.document_indices.tolist() == [0, 1, 2, 3, 4, 5]
    sidecar = Sidecar.read(options.output)
    assert sidecar is not None
    assert (sidecar.kind, sidecar.eod) == ("documents", tokenizer.eod)
    assert sidecar.tokens == reader.token_count


def test_documents_can_be_kept_whole_or_without_eod(options: PreprocessOptions, byte_level: Path) -> None:
    preprocess(replace(options, split_sentences=False, append_eod=False))
    whole = [[" ".join(sentences)] for sentences in SENTENCES]
    assert texts(options.output, Tokenizer.load(options.tokenizer)) == whole
    preprocess(replace(options, tokenizer=byte_level, split_sentences=True, append_eod=True))
    tokenizer = Tokenizer.load(byte_level)
    decoded = [tokenizer.decode(ids) for ids in IndexedReader(options.output)]
    assert decoded[:5] == [
        "Mice. All died",
        "mice died.",
        "E. coli grew.",
        "(all)<|endoftext|>",
        "rats died<|endoftext|>",
    ]


def test_wordpiece_has_no_eod(options: PreprocessOptions) -> None:
    with pytest.raises(PreprocessError, match="Give --append_eod false"):
        preprocess(replace(options, split_sentences=False))


@pytest.mark.parametrize("count", [2, 3])
def test_workers_and_batches_make_no_difference(
    options: PreprocessOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    inputs = [
        write_documents(tmp_path / "a.jsonl.zst", many_documents(70)),
        write_documents(tmp_path / "b.jsonl.zst", many_documents(31)),
    ]
    preprocess(replace(options, inputs=inputs))
    alone = contents(options.output.parent)
    monkeypatch.setattr(document_lines, "BLOCK_LINES", 7)
    preprocess(replace(options, inputs=inputs, workers=count))
    assert contents(options.output.parent) == alone


def test_blocks_hold_all_lines_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_lines, "BLOCK_BYTES", 40)
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    files[0].write_bytes(b"\n".join([b"x" * 39, b"y" * 20, b"", b"z" * 50, b"w"]))
    files[1].write_bytes(b"v\n")
    whole = list(read_line_blocks(files, [0, 1]))
    assert [(block.file, block.first_line, block.last_line, block.part) for block in whole] == [
        (0, 1, 1, 0),
        (0, 2, 4, 0),
        (0, 5, 5, 0),
        (1, 1, 1, 1),
    ]
    assert [line for block in whole[:3] for line in block.lines] == files[0].read_bytes().splitlines(True)
    assert whole[1].place == f"{files[0]}, lines 2 to 4"
    assert sum(block.read_bytes for block in whole) == sum(path.stat().st_size for path in files)
    for done in range(6):
        rest = [line for block in read_line_blocks(files, [0, 1], 0, done) for line in block.lines]
        assert rest == [line for block in whole for line in block.lines][done:]
    assert [block.lines for block in read_line_blocks(files, [0, 1], 1)] == [[b"v\n"]]


def test_real_abstracts_are_the_tokens_of_their_sentences(options: PreprocessOptions, tmp_path: Path) -> None:
    shared = Path(__file__).parents[3] / "shared/data"
    if not shared.exists():
        pytest.skip(f"no real data at {shared}")
    path = tmp_path / "abstracts.jsonl"
    with lzma.open(shared / "text/abstracts.jsonl.xz") as lines:
        path.write_bytes(b"".join(islice(lines, 300)))
    preprocess(replace(options, inputs=[str(path)], tokenizer=shared / "vocab/bert-cased.txt"))
    sidecar = Sidecar.read(options.output)
    assert sidecar is not None
    assert sidecar.documents == 300
    assert sidecar.unknown_tokens / sidecar.tokens < 1e-4
    assert 300 < sidecar.tokens / sidecar.documents < 500


def test_failures_leave_the_earlier_files(
    options: PreprocessOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess(options)
    before = contents(options.output.parent)
    (tmp_path / "bad.jsonl").write_text('{"text": "mice"}\nnonsense\n')
    with pytest.raises(CorpusError, match=r"bad\.jsonl: .*line 2"):
        preprocess(replace(options, inputs=[*options.inputs, str(tmp_path / "bad.jsonl")]))
    assert contents(options.output.parent) == before
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n{"text": " "}\n')
    with pytest.raises(
        PreprocessError, match=r"expected documents with text.*found none: 2 × empty document"
    ):
        preprocess(replace(options, inputs=[str(tmp_path / "empty.jsonl")]))
    assert contents(options.output.parent) == before

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pending_files.os, "fsync", full_disk)
    with pytest.raises(TokenDataError, match="No space left on device"):
        preprocess(options)
    assert contents(options.output.parent) == before


def test_foreign_json_is_refused_before_the_work(options: PreprocessOptions) -> None:
    options.output.parent.mkdir()
    Path(f"{options.output}.json").write_text('{"mine": 1}')
    with pytest.raises(TokenDataError, match=r"tokens\.v1\.json: expected .* found None.*move it"):
        preprocess(options)
    assert Path(f"{options.output}.json").read_text() == '{"mine": 1}'


def test_sidecar_is_recognised_and_damage_is_named(options: PreprocessOptions) -> None:
    preprocess(options)
    path = Path(f"{options.output}.json")
    content = json.loads(path.read_text())
    assert set(content) == {"format", *(field.name for field in dataclasses.fields(Sidecar))}
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "eod"}))
    with pytest.raises(TokenDataError, match=r"found missing \['eod'\] and unknown \[\]"):
        Sidecar.read(options.output)
    for name, value in (("kind", []), ("tokens", "7"), ("files", {}), ("tokenizer_fingerprint", None)):
        path.write_text(json.dumps(content | {name: value}))
        with pytest.raises(TokenDataError, match=f"found under '{name}'"):
            Sidecar.read(options.output)
    path.write_text("{")
    with pytest.raises(TokenDataError, match=r"tokens\.v1\.json: expected the JSON that"):
        Sidecar.read(options.output)


def test_check_tokenizer(options: PreprocessOptions, byte_level: Path) -> None:
    preprocess(options)
    right, wrong = Tokenizer.load(options.tokenizer), Tokenizer.load(byte_level)
    assert "made with this tokenizer" in check_tokenizer(options.output, right)
    with pytest.raises(
        TokenDataError, match=rf"{byte_level} \(bpe, 257 tokens.* found data made with {options.tokenizer} "
    ):
        check_tokenizer(options.output, wrong)


def swap_first_lengths(prefix: Path) -> None:
    """Make the index one that fits the .bin file as well and cuts its first two sequences elsewhere."""
    reader, path = IndexedReader(prefix), index_path(prefix)
    first, second = reader.sequence_lengths[:2].tolist()
    assert first != second
    content = bytearray(path.read_bytes())
    content[34:42] = struct.pack("<ii", second, first)
    start = 34 + 4 * len(reader) + 8
    content[start : start + 8] = struct.pack("<q", second * reader.dtype.itemsize)
    path.write_bytes(content)


def test_check_tokenizer_of_an_index_of_another_run_and_the_same_size(options: PreprocessOptions) -> None:
    preprocess(options)
    swap_first_lengths(options.output)
    IndexedReader(options.output).verify()
    with pytest.raises(TokenDataError, match="another content"):
        check_tokenizer(options.output, Tokenizer.load(options.tokenizer))


def test_check_tokenizer_of_a_half_replaced_trio(options: PreprocessOptions, tmp_path: Path) -> None:
    preprocess(options)
    earlier = Path(f"{options.output}.json").read_bytes()
    preprocess(replace(options, inputs=[write_documents(tmp_path / "n.jsonl.zst", many_documents(9))]))
    Path(f"{options.output}.json").write_bytes(earlier)
    with pytest.raises(
        TokenDataError, match=r"tokens\.v1\.bin: expected 44 bytes, as tokens\.v1\.json says.*not of one run"
    ):
        check_tokenizer(options.output, Tokenizer.load(options.tokenizer))


def test_check_tokenizer_of_data_from_elsewhere(tmp_path: Path, wordpiece: Path) -> None:
    tokenizer = Tokenizer.load(wordpiece)
    for largest in (14, 15):
        with IndexedWriter(tmp_path / "t", 100) as writer:
            writer.add_sequence(np.array([3, largest, 4]))
            writer.end_document()
        if largest < tokenizer.vocab_size:
            assert "checked only that the largest id, 14, is below the 15" in check_tokenizer(
                tmp_path / "t", tokenizer
            )
        else:
            with pytest.raises(TokenDataError, match=r"expected ids from 0 to 14, .* found 3 to 15"):
                check_tokenizer(tmp_path / "t", tokenizer)


def test_checksums_are_those_of_the_files(options: PreprocessOptions) -> None:
    preprocess(options)
    sidecar = Sidecar.read(options.output)
    assert sidecar is not None
    for suffix, digest in sidecar.files.items():
        content = Path(f"{options.output}.{suffix}").read_bytes()
        assert (digest.size, digest.sha256) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
