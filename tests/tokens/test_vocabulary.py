"""Training vocabularies: the same one each time, what it holds, what Hugging Face makes of it, and safe replacement."""

import hashlib
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from tokenizers import Tokenizer as Core
from tokenizers import normalizers

from megatron_bio.config.tokens import TrainVocabularyOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.tokens import tokenizer_folder
from megatron_bio.tokens.alphabet import choose_alphabet, count_characters
from megatron_bio.tokens.errors import TokenizerError
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.vocabulary import train_vocabulary

SYLLABLES = [
    "acetyl",
    "cholin",
    "esterase",
    "hyper",
    "glyc",
    "emia",
    "immuno",
    "histo",
    "chem",
    "istry",
    "cyclo",
    "oxy",
]
SYLLABLES += ["genase", "thrombo", "cyto", "penia"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def words(count: int) -> list[str]:
    generator = random.Random(11)
    return ["".join(generator.choices(SYLLABLES, k=generator.randrange(1, 4))) for _ in range(count)]


def write_documents(path: Path, texts: list[str]) -> Path:
    with DocumentWriter(path) as writer:
        for number, text in enumerate(texts):
            writer.write(Document(id=str(number), title=f"Title {number}", text=text))
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [f"{' '.join(words(400))}: 5 µg, TNF-α é 中. Zürich" for _ in range(5)]
    return write_documents(tmp_path_factory.mktemp("corpus") / "d.jsonl.zst", texts)


@pytest.fixture
def options(corpus: Path, tmp_path: Path) -> TrainVocabularyOptions:
    return TrainVocabularyOptions(inputs=[str(corpus)], output=tmp_path / "tokenizer", size=150)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def tokens_by_id(folder: Path) -> list[str]:
    tokenizer = Tokenizer.load(folder)
    return [str(tokenizer.id_to_token(number)) for number in range(tokenizer.vocab_size)]


def test_wordpiece(options: TrainVocabularyOptions, capsys: pytest.CaptureFixture[str]) -> None:
    train_vocabulary(options)
    tokens = tokens_by_id(options.output)
    assert tokens[:5] == SPECIAL
    assert len(tokens) == 150
    assert len(set(tokens)) == 150
    assert {"a", "##a", "µ", "α", "##α", "Z", "ü", "中"} <= set(tokens)
    assert not {"##中", "##,", "##-"} & set(tokens)  # These never stand inside a word.
    assert (options.output / "vocab.txt").read_text(encoding="utf-8").split("\n") == [*tokens, ""]
    report = capsys.readouterr().out
    assert "150 tokens from 2,040 words, 5 documents" in report
    assert [line.split(":")[0].strip() for line in report.split("\n")[1:-1]] == options.show_words


def test_tokenizer_json_adds_special_tokens_to_pairs(options: TrainVocabularyOptions) -> None:
    train_vocabulary(options)
    pair = Core.from_file(str(options.output / "tokenizer.json")).encode("acetyl", "emia")
    assert pair.tokens == ["[CLS]", "acetyl", "[SEP]", "emia", "[SEP]"]
    assert pair.type_ids == [0, 0, 0, 1, 1]


def test_lower_case(options: TrainVocabularyOptions) -> None:
    train_vocabulary(replace(options, lowercase=True))
    tokens = tokens_by_id(options.output)
    assert not [token for token in tokens[5:] if token != token.lower()]
    assert "é" not in tokens
    assert Tokenizer.load(options.output).lowercase


def test_byte_level(options: TrainVocabularyOptions, capsys: pytest.CaptureFixture[str]) -> None:
    train_vocabulary(replace(options, type="bpe", size=330, show_words=["glyc"]))
    tokens = tokens_by_id(options.output)
    assert tokens[0] == "<|endoftext|>"
    assert len(tokens) == 330
    tokenizer = Tokenizer.load(options.output)
    assert tokenizer.eod == 0
    assert tokenizer.decode(tokenizer.encode_batch(["Any byte: 漢\x00 "])[0]) == "Any byte: 漢\x00 "
    assert "glyc: Ġ" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_two_processes_train_the_same_vocabulary(
    options: TrainVocabularyOptions, kind: str, tmp_path: Path
) -> None:
    """Hash tables are seeded anew in each process, and threads are many in one and one in the other."""
    program = (
        "import sys; from pathlib import Path; from megatron_bio.config.tokens import TrainVocabularyOptions;"
        "from megatron_bio.tokens.vocabulary import train_vocabulary;"
        "train_vocabulary(TrainVocabularyOptions("
        "inputs=[sys.argv[1]], output=Path(sys.argv[2]), type=sys.argv[3], size=400))"
    )
    for threads in ("true", "false"):
        command = [sys.executable, "-c", program, options.inputs[0], str(tmp_path / threads), kind]
        subprocess.run(
            command, check=True, capture_output=True, env=os.environ | {"TOKENIZERS_PARALLELISM": threads}
        )
    assert digests(tmp_path / "true") == digests(tmp_path / "false")


def test_small_corpus_gives_a_smaller_vocabulary_and_says_so(
    options: TrainVocabularyOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    train_vocabulary(replace(options, size=5000))
    size = Tokenizer.load(options.output).vocab_size
    assert 150 < size < 5000
    assert f"{size:,} tokens" in (report := capsys.readouterr().out)
    assert "fewer than the 5,000 asked for" in report


def test_size_below_the_alphabet_is_refused(options: TrainVocabularyOptions) -> None:
    with pytest.raises(
        TokenizerError, match=r"--size: expected more than the \d+ tokens .* found 40\. Raise --size"
    ):
        train_vocabulary(replace(options, size=40))
    assert not options.output.exists()


@pytest.mark.parametrize("method", ["direct", "sentencepiece"])
def test_documents_of_control_characters_are_refused(
    options: TrainVocabularyOptions, tmp_path: Path, method: Literal["direct", "sentencepiece"]
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "\\u0001\\u0002 \\u0003"}\n')
    with pytest.raises(TokenizerError, match="found no character that a word can hold"):
        train_vocabulary(replace(options, inputs=[str(path)], method=method))
    assert not options.output.exists()


@pytest.mark.filterwarnings("ignore::megatron_bio.tokens.errors.TokenizerWarning")
def test_rare_characters_are_left_out(options: TrainVocabularyOptions, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "d.jsonl.zst", ["aa bb ab zé", "ba aa zé zé"])
    train_vocabulary(replace(options, inputs=[str(path)], size=30, alphabet=3, show_words=[]))
    tokens = tokens_by_id(options.output)
    assert {"a", "b", "z", "##a", "##b", "##z"} <= set(tokens)
    assert not {"é", "##é", "T"} & set(tokens)


def test_minimum_frequency(options: TrainVocabularyOptions, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "d.jsonl.zst", ["ab ab ab cd cd"])
    for frequency, found in ((3, {"ab"}), (2, {"ab", "cd"})):
        train_vocabulary(replace(options, inputs=[str(path)], size=60, minimum_frequency=frequency))
        assert {"ab", "cd"} & set(tokens_by_id(options.output)) == found


@pytest.mark.parametrize("sample", [0, 3])
def test_a_file_given_twice_is_refused(
    options: TrainVocabularyOptions, corpus: Path, tmp_path: Path, sample: int
) -> None:
    (tmp_path / "link").hardlink_to(corpus)
    with pytest.raises(CorpusError, match="which are the same file"):
        train_vocabulary(replace(options, inputs=[str(corpus), str(tmp_path / "link")], sample=sample))
    assert not options.output.exists()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_no_words(options: TrainVocabularyOptions, tmp_path: Path, kind: str) -> None:
    (tmp_path / "d.jsonl").write_text('{"text": " "}\n')
    with pytest.raises(TokenizerError, match="expected words to train on, found none in 1 documents"):
        train_vocabulary(replace(options, inputs=[str(tmp_path / "d.jsonl")], type=kind, size=300))
    assert not options.output.exists()


def test_character_counts_are_those_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("megatron_bio.tokens.alphabet.COUNTED_TOGETHER", 4)
    assert count_characters(["ab\U0001f600", "", "aé", "b a"]) == {
        "a": 3,
        "b": 2,
        "\U0001f600": 1,
        "é": 1,
        " ": 1,
    }
    assert count_characters([]) == {}


def test_alphabet_is_counted_after_normalisation_and_ties_go_by_code_point() -> None:
    normalizer = normalizers.BertNormalizer(lowercase=True)
    counts = {"A": 2, "a": 1, "é": 1, "e": 1, "d": 2, "c": 2, " ": 99, "\u200b": 50, "\u00a0": 50}
    assert choose_alphabet(counts, normalizer, 3) == ["a", "c", "d"]
    assert choose_alphabet(counts, normalizer, 99) == ["a", "c", "d", "e"]


def test_earlier_tokenizer_is_replaced(options: TrainVocabularyOptions) -> None:
    train_vocabulary(replace(options, type="bpe", size=300))
    train_vocabulary(options)
    assert not (options.output / "merges.txt").exists()
    assert [path.name for path in options.output.parent.iterdir()] == ["tokenizer"]


def test_other_folders_are_refused(options: TrainVocabularyOptions) -> None:
    options.output.mkdir()
    (options.output / "tokenizer.json").touch()
    (options.output / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(TokenizerError, match=r"found other things in it: model\.safetensors"):
        train_vocabulary(options)
    assert (options.output / "model.safetensors").read_bytes() == b"precious"
    with pytest.raises(TokenizerError, match="found a file"):
        train_vocabulary(replace(options, output=options.output / "tokenizer.json"))


@pytest.mark.parametrize("stage", ["write", "rename"])
def test_failure_leaves_the_earlier_tokenizer(
    options: TrainVocabularyOptions, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    train_vocabulary(options)
    before = digests(options.output)
    rename = Path.rename

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def rename_earlier_folder_only(path: Path, target: Path) -> Path:
        return full_disk(0) if path.name.endswith(".partial") else rename(path, target)

    if stage == "write":
        monkeypatch.setattr(tokenizer_folder.os, "fsync", full_disk)
    else:
        monkeypatch.setattr(Path, "rename", rename_earlier_folder_only)
    with pytest.raises(TokenizerError, match="cannot be written: No space left on device"):
        train_vocabulary(replace(options, size=160))
    assert digests(options.output) == before
    assert [path.name for path in options.output.parent.iterdir()] == ["tokenizer"]
