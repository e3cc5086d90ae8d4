"""Which texts of which files become tokens, and of which output: keys, corpora, splits; what cannot be read."""

import gzip
import hashlib
import json
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from tokenizers import pre_tokenizers

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.config.errors import ConfigurationError, UserError
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.corpus.building.run import build_corpus
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.tokens import document_lines
from megatron_bio.tokens import preprocess as preprocessing
from megatron_bio.tokens.document_split import part_of
from megatron_bio.tokens.errors import PreprocessError, TokenizerError
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.sidecar import Sidecar
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.tokenizer_files import build_byte_level
from megatron_bio.tokens.tokenizer_folder import write_tokenizer_folder

PARTS = ("train", "validation", "test")


def write_lines(path: Path, documents: list[object]) -> str:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return str(path)


def numbered(count: int, first: int = 0) -> list[object]:
    return [
        {"id": str(number), "text": " ".join(["mice"] * (number + 1))}
        for number in range(first, first + count)
    ]


@pytest.fixture
def options(tmp_path: Path, wordpiece: Path) -> PreprocessOptions:
    documents = write_lines(tmp_path / "documents.jsonl", numbered(100))
    return PreprocessOptions(inputs=[documents], tokenizer=wordpiece, output=tmp_path / "out/t")


def texts(prefix: Path, tokenizer: Path) -> list[str]:
    loaded = Tokenizer.load(tokenizer)
    return [
        " ".join(str(loaded.id_to_token(number)) for number in ids.tolist()) for ids in IndexedReader(prefix)
    ]


def manifest(prefix: Path) -> Sidecar:
    sidecar = Sidecar.read(prefix)
    assert sidecar is not None
    return sidecar


def test_keys(options: PreprocessOptions, tmp_path: Path) -> None:
    lines: list[object] = [
        {"note": "mice died. All died.", "title": "mice. All died", "other": "x"},
        {"other": "rats"},
        {"note": None, "title": "rats"},
        {"note": ""},
    ]
    options = replace(options, inputs=[write_lines(tmp_path / "n.jsonl", lines)], keys=["note", "title"])
    preprocess(options)
    assert texts(options.output, options.tokenizer) == [
        "mice died .",
        "[UNK] died .",
        "mice . [UNK] died",
        "rats",
    ]
    sidecar = manifest(options.output)
    assert sidecar.skipped == {"document without any of the keys note, title": 1, "empty document": 1}
    assert sidecar.options["keys"] == ["note", "title"]
    assert sidecar.lowercase is False
    size = (tmp_path / "n.jsonl").stat().st_size
    assert list(sidecar.inputs) == [{"file": str(tmp_path / "n.jsonl"), "bytes": size}]
    with pytest.raises(
        PreprocessError, match=r"text under abstract, found none in .*only the keys note, other, title"
    ):
        preprocess(replace(options, keys=["note", "abstract"]))
    with pytest.raises(PreprocessError, match=r"text under absent, found none"):
        preprocess(replace(options, keys=["absent"]))
    assert not Path(f"{options.output}.unfinished").exists()
    with pytest.raises(CorpusError, match=r"n\.jsonl: .*line 1: expected a string under 'note', found 3"):
        preprocess(replace(options, inputs=[write_lines(tmp_path / "n.jsonl", [{"note": 3}])]))


@pytest.mark.parametrize("keys", [[], [""], ["text", "text"]])
def test_keys_that_are_none(options: PreprocessOptions, keys: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--keys"):
        replace(options, keys=keys)


@pytest.mark.parametrize("split", [[0.5, 0.5], [0.5, 0.6, -0.1], [0.5, 0.2, 0.2]])
def test_shares_that_are_none(options: PreprocessOptions, split: list[float]) -> None:
    with pytest.raises(ConfigurationError, match=r"--split: .*0\.9 0\.05 0\.05"):
        replace(options, split=split)


def lengths(options: PreprocessOptions) -> dict[str, list[int]]:
    names = {name: options.output.with_name(f"{options.output.name}_{name}") for name in PARTS}
    return {name: IndexedReader(prefix).sequence_lengths.tolist() for name, prefix in names.items()}


def test_split_by_id(options: PreprocessOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = replace(options, split=[0.6, 0.2, 0.2])
    preprocess(options)
    found = lengths(options)
    assert sorted(chain.from_iterable(found.values())) == list(range(1, 101))
    for part, name in enumerate(PARTS):
        assert found[name] == [n + 1 for n in range(100) if part_of(str(n), options.split, 1) == part]
        sidecar = manifest(tmp_path / f"out/t_{name}")
        assert (sidecar.options["part"], sidecar.options["seed"], sidecar.documents) == (
            name,
            1,
            len(found[name]),
        )
    more = write_lines(tmp_path / "more.jsonl", numbered(50, 100) + numbered(100))
    monkeypatch.setattr(document_lines, "BLOCK_LINES", 9)
    grown = replace(options, inputs=[*options.inputs, more], output=tmp_path / "grown/t", workers=2)
    preprocess(grown)
    for name, before in found.items():
        after = lengths(grown)[name]
        assert after[: len(before)] == before and after[-len(before) :] == before, "equal ids go together"
    preprocess(replace(options, seed=2, output=tmp_path / "seed/t"))
    assert lengths(replace(options, output=tmp_path / "seed/t")) != found


def test_shares_are_kept_and_other_seeds_draw_otherwise() -> None:
    shares = [0.8, 0.05, 0.15]
    draws = [part_of(str(number), shares, 3) for number in range(20_000)]
    for part, share in enumerate(shares):
        # Six standard deviations.
        assert abs(draws.count(part) / 20_000 - share) < 6 * (share * (1 - share) / 20_000) ** 0.5
    assert {part_of(str(number), [0, 1, 0], 3) for number in range(100)} == {1}


def test_an_empty_part_is_an_error(options: PreprocessOptions, tmp_path: Path) -> None:
    one = write_lines(tmp_path / "one.jsonl", numbered(1))
    with pytest.raises(
        PreprocessError, match=r"for .*t_\w+ in .*one\.jsonl, found none\. Give more documents"
    ):
        preprocess(replace(options, inputs=[one], split=[0.4, 0.3, 0.3]))
    assert not list((tmp_path / "out").iterdir())


def digest(number: int, word: int) -> str:
    letters = "abcdefghijklmnop"
    found = hashlib.sha256(f"{number} {word}".encode()).hexdigest()
    return "".join(letters[int(digit, 16)] for digit in found[:7])


def test_a_corpus(options: PreprocessOptions, tmp_path: Path) -> None:
    generated: list[object] = [
        {
            "id": str(number),
            "text": " ".join(f"the {digest(number, word)} of" for word in range(20)),
        }
        for number in range(40)
    ]
    documents = write_lines(tmp_path / "generated.jsonl", generated)
    corpus = tmp_path / "corpus"
    build_corpus(
        BuildCorpusOptions(
            inputs=[documents],
            output=corpus,
            split=(0.6, 0.2, 0.2),
            languages=["any"],
            progress=False,
        )
    )
    preprocess(replace(options, inputs=[str(corpus)]))
    total = 0
    for name in PARTS:
        shards = sorted((corpus / name).glob("*.jsonl.zst"))
        alone = replace(options, inputs=[str(corpus / name)], output=tmp_path / "alone" / name)
        preprocess(alone)
        assert (tmp_path / f"out/t_{name}.bin").read_bytes() == Path(f"{alone.output}.bin").read_bytes()
        assert [entry["file"] for entry in manifest(tmp_path / f"out/t_{name}").inputs] == list(
            map(str, shards)
        )
        total += manifest(alone.output).documents
    assert total == 40
    with pytest.raises(PreprocessError, match="split already"):
        preprocess(replace(options, inputs=[str(corpus)], split=[0.5, 0.5, 0]))
    with pytest.raises(PreprocessError, match="either whole corpora, which are split, or files"):
        preprocess(replace(options, inputs=[str(corpus), documents]))
    next((corpus / "train").glob("*.zst")).unlink()
    for inputs in (corpus, corpus / "train", corpus / "test"):
        with pytest.raises(PreprocessError, match=r"train/documents.* is not whole: build it again"):
            preprocess(replace(options, inputs=[str(inputs)]))


def test_parts_of_an_earlier_split_are_not_left_beside_a_new_one(options: PreprocessOptions) -> None:
    """The documents of _validation would be in _train as well."""
    preprocess(replace(options, split=[0.8, 0.1, 0.1]))
    before = manifest(options.output.with_name("t_train"))
    with pytest.raises(PreprocessError, match=r"t_(validation|test)\.idx is there from an earlier split"):
        preprocess(replace(options, split=[1.0, 0.0, 0.0]))
    assert manifest(options.output.with_name("t_train")) == before
    preprocess(replace(options, split=[0.7, 0.2, 0.1]))
    for path in options.output.parent.glob("t_test.*"):
        path.unlink()
    preprocess(replace(options, split=[0.8, 0.2, 0.0]))
    assert sum(manifest(options.output.with_name(f"t_{part}")).documents for part in PARTS[:2]) == 100


def test_the_same_file_by_two_names(options: PreprocessOptions, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(options.inputs[0])
    with pytest.raises(CorpusError, match="which are the same file"):
        preprocess(replace(options, inputs=[*options.inputs, str(tmp_path / "link.jsonl")]))
    (tmp_path / "hard.jsonl").hardlink_to(options.inputs[0])
    with pytest.raises(CorpusError, match="which are the same file"):
        preprocess(replace(options, inputs=[*options.inputs, str(tmp_path / "hard.jsonl")]))
    preprocess(replace(options, inputs=[*options.inputs, str(tmp_path / "documents.jsonl")]))
    assert manifest(options.output).documents == 100


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".json"])
def test_an_output_never_replaces_what_is_read(
    options: PreprocessOptions, tmp_path: Path, suffix: str
) -> None:
    documents = tmp_path / f"notes{suffix}"
    content = Path(options.inputs[0]).read_bytes()
    documents.write_bytes(content)
    with pytest.raises(PreprocessError, match=f"notes{suffix} is one of --inputs and would be replaced"):
        preprocess(replace(options, inputs=[str(documents)], output=tmp_path / "notes"))
    assert documents.read_bytes() == content


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_file_is_mended_and_the_run_goes_on(
    options: PreprocessOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: int,
) -> None:
    monkeypatch.setattr(document_lines, "BLOCK_LINES", 10)
    lines = "".join(json.dumps(document) + "\n" for document in numbered(60)).encode()
    zipped = tmp_path / "more.jsonl.gz"
    zipped.write_bytes(gzip.compress(lines)[:-20])
    options = replace(options, inputs=[*options.inputs, str(zipped)], workers=workers)
    with pytest.raises(DamagedFileError, match=r"more\.jsonl\.gz: .*truncated"):
        preprocess(options)
    assert not list((tmp_path / "out").glob("t.[bij]*"))
    assert f"what is finished lies in {options.output}.unfinished" in capsys.readouterr().err
    zipped.write_bytes(gzip.compress(lines))
    preprocess(options)
    assert "goes on with" in capsys.readouterr().err
    assert IndexedReader(options.output).sequence_lengths.tolist() == [*range(1, 101), *range(1, 61)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"text": "mice"}\n{"text": "\xe9"}\n', r"line 2: expected UTF-8, found the byte 0xe9"),
        ("﻿".encode("utf-16"), r"line 1: expected UTF-8"),
        (b'{"text": "mice"}\n{"text": "mi', r"line 2: expected one complete JSON object"),
        (b"[1]\n", r"line 1: expected a JSON object"),
        (
            b'{"text": "mice", "id": "a", "text": "men"}\n',
            r"line 1: expected every key once, found 'text' twice",
        ),
        (b" \n\n", r"found no content"),
        (b"", r"found no content"),
        (b'{"text": "\\ud800"}\n', r"line 1: expected Unicode text"),
        (b'{"id": [], "text": "mice"}\n', r"line 1: expected a string under 'id'"),
    ],
)
def test_lines_that_cannot_be_read(
    options: PreprocessOptions, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"bad\.jsonl: {words}|bad\.jsonl: .*{words}"):
        preprocess(replace(options, inputs=[str(tmp_path / "bad.jsonl")]))
    assert not list((tmp_path / "out").iterdir())


def unfinished(
    options: PreprocessOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PreprocessOptions:
    monkeypatch.setattr(document_lines, "BLOCK_LINES", 10)
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"bad\n")
    options = replace(options, inputs=[*options.inputs, str(bad)])
    with pytest.raises(DamagedFileError):
        preprocess(options)
    bad.write_bytes(b'{"text": "rats"}\n')
    return options


def test_changed_options_and_inputs_start_afresh(
    options: PreprocessOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = replace(unfinished(options, tmp_path, monkeypatch), keys=["text"])
    preprocess(changed)
    assert "starts afresh" in capsys.readouterr().err
    assert manifest(options.output).documents == 101
    options = unfinished(replace(options, output=tmp_path / "two/t"), tmp_path, monkeypatch)
    write_lines(tmp_path / "documents.jsonl", numbered(7))
    preprocess(options)
    assert "starts afresh" in capsys.readouterr().err
    assert manifest(options.output).documents == 8


def test_without_resume_nothing_is_taken(
    options: PreprocessOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = unfinished(options, tmp_path, monkeypatch)
    capsys.readouterr()
    preprocess(replace(options, resume=False))
    assert capsys.readouterr().err == ""
    assert manifest(options.output).documents == 101


def test_finished_files_without_names_are_given_them(
    options: PreprocessOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a kill before the renames, or behind them when the outputs were then removed."""

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(preprocessing, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            preprocess(options)
    unchanged = preprocessing.encode_in_order
    monkeypatch.setattr(preprocessing, "encode_in_order", killed)
    preprocess(options)
    assert manifest(options.output).documents == 100
    assert not Path(f"{options.output}.unfinished").exists()
    assert "documents/s" not in capsys.readouterr().out
    monkeypatch.setattr(preprocessing, "encode_in_order", unchanged)
    with monkeypatch.context() as patched:
        patched.setattr(preprocessing.WorkFolder, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            preprocess(options)
    Path(f"{options.output}.bin").unlink()
    preprocess(options)
    assert IndexedReader(options.output).document_count == 100


def test_case_of_a_tokenizer_without_one(options: PreprocessOptions, tmp_path: Path) -> None:
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"]
    core = build_byte_level(
        {piece: number for number, piece in enumerate(pieces)}, [], add_prefix_space=False
    )
    write_tokenizer_folder(tmp_path / "bpe", core)
    with pytest.raises(PreprocessError, match=r"--lowercase: .* is a bpe tokenizer"):
        preprocess(replace(options, tokenizer=tmp_path / "bpe", lowercase=True))


def test_a_full_disk_in_the_middle_loses_nothing_that_was_saved(
    options: PreprocessOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_lines, "BLOCK_LINES", 10)
    monkeypatch.setattr(preprocessing, "SAVE_SECONDS", 0.0)
    added = preprocessing.GrowingTokens.add
    count = 0

    def add(tokens: preprocessing.GrowingTokens, documents: object) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise OSError(28, "No space left on device")
        added(tokens, documents)  # type: ignore[arg-type]

    monkeypatch.setattr(preprocessing.GrowingTokens, "add", add)
    with pytest.raises(OSError, match="No space left"):
        preprocess(options)
    preprocess(options)
    assert count == 5 + 6, "the first four blocks were not made again"
    assert IndexedReader(options.output).sequence_lengths.tolist() == list(range(1, 101))


def test_an_output_that_cannot_be_written(options: PreprocessOptions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/t\.unfinished: expected a folder to write in"):
        preprocess(replace(options, output=tmp_path / "file/t"))


def test_tokenizers_without_special_tokens(options: PreprocessOptions) -> None:
    (options.tokenizer / "vocab.txt").write_text("[PAD]\n[CLS]\n[MASK]\nmice")
    with pytest.raises(TokenizerError, match=r"found none named \[UNK\], \[SEP\]"):
        preprocess(options)
