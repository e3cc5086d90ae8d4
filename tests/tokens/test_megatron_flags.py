"""Megatron-LM's flags: what they mean here, what is taken with a note, what is refused; the scripts that take them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import pre_tokenizers

from megatron_bio.tokens.errors import PreprocessError, TokenDataError
from megatron_bio.tokens.indexed import IndexedReader
from megatron_bio.tokens.megatron_flags import preprocess_main, translate_merge, translate_preprocess
from megatron_bio.tokens.sidecar import Sidecar
from megatron_bio.tokens.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "documents.jsonl"
    lines = [
        {"text": "mice died. Rats died.", "abstract": "All mice"},
        {"text": "rats", "abstract": "E. coli"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def common(documents: Path, tmp_path: Path) -> list[str]:
    return ["--input", str(documents), "--output-prefix", str(tmp_path / "out/t"), "--workers", "2"]


@pytest.fixture
def gpt2(tmp_path: Path) -> list[str]:
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "mi", "ce", "<|endoftext|>"]
    vocabulary = tmp_path / "gpt2-vocab.json"
    vocabulary.write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    merges = tmp_path / "gpt2-merges.txt"
    merges.write_text("#version: 0.2\nm i\nc e\n")
    return [
        "--tokenizer-type",
        "GPT2BPETokenizer",
        "--vocab-file",
        str(vocabulary),
        "--merge-file",
        str(merges),
    ]


def bert(folder: Path, kind: str = "BertWordPieceCase") -> list[str]:
    return ["--tokenizer-type", kind, "--vocab-file", str(folder / "vocab.txt")]


def test_flags_of_bert(common: list[str], wordpiece: Path, tmp_path: Path) -> None:
    words = [*common, *bert(wordpiece), "--split-sentences", "--json-keys", "text", "abstract"]
    translation = translate_preprocess(words)
    assert translation.notes == ()
    names = [str(run.output.relative_to(tmp_path)) for run in translation.runs]
    assert names == ["out/t_text_sentence", "out/t_abstract_sentence"]
    assert [run.keys for run in translation.runs] == [["text"], ["abstract"]]
    run = translation.runs[0]
    assert (run.split_sentences, run.append_eod, run.lowercase, run.workers) == (True, False, False, 2)
    assert (
        translate_preprocess([*common, *bert(wordpiece, "BertWordPieceLowerCase")]).runs[0].lowercase is True
    )


def test_runs_of_both_models(common: list[str], wordpiece: Path, gpt2: list[str], tmp_path: Path) -> None:
    words = [*common, *bert(wordpiece), "--split-sentences", "--json-keys", "text", "abstract"]
    assert preprocess_main(words) == 0
    assert len(IndexedReader(tmp_path / "out/t_text_sentence")) == 3
    assert IndexedReader(tmp_path / "out/t_abstract_sentence").document_count == 2
    assert preprocess_main([*common, *gpt2, "--append-eod"]) == 0
    tokenizer = Tokenizer.load(tmp_path / "out/t_tokenizer")
    assert [tokenizer.decode(ids) for ids in IndexedReader(tmp_path / "out/t_text_document")] == [
        "mice died. Rats died.<|endoftext|>",
        "rats<|endoftext|>",
    ]
    sidecar = Sidecar.read(tmp_path / "out/t_text_document")
    assert sidecar is not None and sidecar.eod == tokenizer.eod


def test_usual_names_need_no_copy(common: list[str], gpt2: list[str], tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / f"gpt2-{name}").rename(tmp_path / name)
    words = [word.replace("gpt2-", "") for word in gpt2]
    assert translate_preprocess([*common, *words]).runs[0].tokenizer == tmp_path / "vocab.json"
    assert not (tmp_path / "out").exists()
    folder = ["--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", str(tmp_path)]
    assert translate_preprocess([*common, *folder]).runs[0].tokenizer == tmp_path


def test_flags_that_change_nothing_are_named(common: list[str], wordpiece: Path) -> None:
    words = [
        "--partitions",
        "4",
        "--keep-sequential-samples",
        "--log-interval",
        "100",
        "--vocab-extra-ids",
        "0",
    ]
    notes = translate_preprocess([*common, *bert(wordpiece), *words]).notes
    assert [note.split()[0] for note in notes] == [
        "--partitions",
        "--keep-sequential-samples",
        "--log-interval",
        "--vocab-extra-ids",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keep-newlines"], "--keep-newlines: not done here"),
        (["--find-optimal-num-workers"], "Give --workers the number of cores"),
        (["--lang", "german"], "--lang: expected english"),
        (["--trust-remote-code"], "no code of others is run"),
        (["--tokenizer-type", "SentencePieceTokenizer"], "goes with HuggingFaceTokenizer"),
        (["--tokenizer-type", "GPT2BPETokenizer"], "expected --merge-file with it"),
        (["--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", "a/b"], "Nothing is downloaded"),
    ],
)
def test_refusals(common: list[str], wordpiece: Path, words: list[str], message: str) -> None:
    with pytest.raises(PreprocessError, match=message):
        translate_preprocess([*common, *bert(wordpiece), *words])


def test_errors_and_interrupts_have_their_status(
    common: list[str], wordpiece: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*common, *bert(wordpiece)]
    assert preprocess_main([*words, "--append-eod"]) == 1
    assert "preprocess_data: error: --append_eod: expected a tokenizer with" in capsys.readouterr().err

    def interrupt(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("megatron_bio.tokens.megatron_flags.preprocess", interrupt)
    assert preprocess_main(words) == 130


def test_folder_without_token_data(tmp_path: Path) -> None:
    with pytest.raises(TokenDataError, match=r"found no \.idx file there"):
        translate_merge(["--input", str(tmp_path), "--output-prefix", "x"])


def test_script(common: list[str], wordpiece: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools/preprocess_data.py"), *common, *bert(wordpiece)]
    subprocess.run([*command, "--partitions", "2"], check=True)
    assert IndexedReader(tmp_path / "out/t_text_document").document_count == 2
