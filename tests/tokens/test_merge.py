"""Several token data to one: order, dtypes, what is refused; byte for byte what Megatron's builder gives."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from megatron_bio.config.tokens import MergeOptions, PreprocessOptions
from megatron_bio.tokens import indexed
from megatron_bio.tokens import merge as merging
from megatron_bio.tokens.errors import TokenDataError
from megatron_bio.tokens.indexed import IndexedReader, IndexedWriter, data_path, index_path
from megatron_bio.tokens.merge import merge
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.sidecar import Sidecar

ROOT = Path(__file__).parents[2]


def write(prefix: Path, seed: int, vocab_size: int = 1000, documents: int = 20) -> list[list[list[int]]]:
    generator = np.random.default_rng(seed)
    content = [
        [
            generator.integers(0, vocab_size, generator.integers(1, 9)).tolist()
            for _ in range(generator.integers(0, 4))
        ]
        for _ in range(documents)
    ]
    with IndexedWriter(prefix, vocab_size) as writer:
        for document in content:
            for sequence in document:
                writer.add_sequence(np.array(sequence))
            writer.end_document()
    return content


def read(prefix: Path) -> list[list[list[int]]]:
    reader = IndexedReader(prefix)
    reader.verify()
    bounds = reader.document_indices.tolist()
    return [[reader[number].tolist() for number in range(start, end)] for start, end in pairwise(bounds)]


def together(tmp_path: Path, *names: str) -> MergeOptions:
    return MergeOptions(inputs=[str(tmp_path / name) for name in names], output=tmp_path / "all")


def test_documents_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(merging, "CHUNK", 7)
    monkeypatch.setattr(indexed, "CHUNK", 7)
    a, b = write(tmp_path / "a.v1", 1), write(tmp_path / "b", 2)
    empty = write(tmp_path / "c", 3, documents=0)
    assert empty == []
    merge(together(tmp_path, "b.bin", "c", "a.v1"))
    assert read(tmp_path / "all") == b + a
    out, err = capsys.readouterr()
    assert "40 documents" in out and "from 3 token data" in out
    assert err.count("so nothing was compared") == 3
    merge(
        MergeOptions(
            inputs=[str(tmp_path / "a.*.idx"), str(tmp_path / "[b]*.idx")], output=tmp_path / "out/glob"
        )
    )
    assert read(tmp_path / "out/glob") == a + b


def test_smaller_ids_are_widened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", 1), write(tmp_path / "b", 2, 100_000)
    merge(together(tmp_path, "a", "b"))
    assert read(tmp_path / "all") == a + b
    assert IndexedReader(tmp_path / "all").dtype == np.int32
    assert "a: its uint16 ids are written as int32" in capsys.readouterr().err


def test_what_cannot_be_merged(tmp_path: Path) -> None:
    write(tmp_path / "a", 1)
    write(tmp_path / "b", 2)
    with pytest.raises(TokenDataError, match=r"found neither .*none\.idx nor a file that matches"):
        merge(together(tmp_path, "none"))
    with pytest.raises(TokenDataError, match="a twice"):
        merge(together(tmp_path, "a", "a.idx"))
    with pytest.raises(TokenDataError, match="expected another path than those of the inputs"):
        merge(replace(together(tmp_path, "a", "b"), output=tmp_path / "a"))
    (tmp_path / "b.idx").write_bytes(
        (tmp_path / "b.idx").read_bytes() + bytes(len(IndexedReader(tmp_path / "b")))
    )
    with pytest.raises(TokenDataError, match="found a mode for each sequence"):
        merge(together(tmp_path, "a", "b"))
    assert not list(tmp_path.glob("*all*"))


def prepared(tmp_path: Path, name: str, tokenizer: Path, **options: object) -> str:
    documents = tmp_path / f"{name}.jsonl"
    documents.write_text(json.dumps({"text": f"mice died. rats {name}."}) + '\n{"text": ""}\n')
    chosen = PreprocessOptions(
        inputs=[str(documents)], tokenizer=tokenizer, output=tmp_path / name, **options
    )  # type: ignore[arg-type]
    preprocess(chosen)
    return name


def test_manifests_are_joined(tmp_path: Path, wordpiece: Path) -> None:
    names = [prepared(tmp_path, name, wordpiece) for name in ("a", "b")]
    merge(together(tmp_path, *names))
    a, b, both = (Sidecar.read(tmp_path / name) for name in ("a", "b", "all"))
    assert a and b and both
    both.check_sizes(tmp_path / "all")
    assert (both.documents, both.tokens) == (2, a.tokens + b.tokens)
    assert both.skipped == {"empty document": 2}
    assert both.tokenizer_fingerprint == a.tokenizer_fingerprint
    assert [entry["file"] for entry in both.inputs] == [str(tmp_path / "a"), str(tmp_path / "b")]
    (tmp_path / "a.json").unlink()
    merge(together(tmp_path, *names))
    assert Sidecar.read(tmp_path / "all") is None


def test_an_index_of_another_run_is_refused(tmp_path: Path, wordpiece: Path) -> None:
    for name, texts in (("a", ("mice", "rats died")), ("b", ("mice died", "rats"))):
        documents = tmp_path / f"{name}.jsonl"
        documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        preprocess(PreprocessOptions(inputs=[str(documents)], tokenizer=wordpiece, output=tmp_path / name))
    index_path(tmp_path / "a").write_bytes(index_path(tmp_path / "b").read_bytes())
    IndexedReader(tmp_path / "a").verify()
    with pytest.raises(TokenDataError, match="another content"):
        merge(together(tmp_path, "a", "b"))
    assert not list(tmp_path.glob("*all*"))


def test_changed_tokens_get_no_manifest(tmp_path: Path, wordpiece: Path) -> None:
    names = [prepared(tmp_path, name, wordpiece) for name in ("a", "b")]
    content = bytearray(data_path(tmp_path / "b").read_bytes())
    content[0] ^= 1
    data_path(tmp_path / "b").write_bytes(content)
    with pytest.raises(TokenDataError, match=r"b\.bin: expected the content that b\.json has the sha256 of"):
        merge(together(tmp_path, *names))
    assert not list(tmp_path.glob("*all*"))


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_the_same_files_by_two_names(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    write(tmp_path / "a", 1)
    for path_of in (data_path, index_path):
        link(path_of(tmp_path / "b"), path_of(tmp_path / "a"))
    with pytest.raises(TokenDataError, match=r"a and .*b, which are the same files"):
        merge(together(tmp_path, "a", "b"))


@pytest.mark.filterwarnings("ignore:.*capitals:megatron_bio.tokens.errors.TokenizerWarning")
def test_other_tokenizers_and_kinds_are_refused(tmp_path: Path, wordpiece: Path) -> None:
    prepared(tmp_path, "a", wordpiece)
    prepared(tmp_path, "b", wordpiece, split_sentences=False, append_eod=False)
    prepared(tmp_path, "c", wordpiece, lowercase=True)
    with pytest.raises(
        TokenDataError, match=r"expected the kind of sequences of .*a, which is sentences.* found documents"
    ):
        merge(together(tmp_path, "a", "b"))
    with pytest.raises(TokenDataError, match=r"expected the tokenizer of .*a, which is"):
        merge(together(tmp_path, "a", "c"))
    assert not list(tmp_path.glob("*all*"))


@pytest.mark.peer
@pytest.mark.parametrize("vocab_size", [1000, 100_000])
def test_same_bytes_as_megatrons_builder(tmp_path: Path, vocab_size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "megatron.core.datasets.indexed_dataset"
        peer = pytest.importorskip(name, reason="megatron-core is not installed", exc_type=ImportError)
    content = [document for seed in range(3) for document in write(tmp_path / f"{seed}", seed, vocab_size)]
    builder = peer.IndexedDatasetBuilder(
        str(tmp_path / "theirs.bin"), dtype=peer.DType.optimal_dtype(vocab_size)
    )
    for seed in range(3):
        builder.add_index(str(tmp_path / f"{seed}"))
    builder.finalize(str(tmp_path / "theirs.idx"))
    merge(together(tmp_path, "0", "1", "2"))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"all{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()
    assert read(tmp_path / "theirs") == content
    dataset = peer.IndexedDataset(str(tmp_path / "all"))
    flat = [sequence for document in content for sequence in document]
    assert [dataset[number].tolist() for number in range(len(dataset))] == flat


def test_script_with_megatrons_flags(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    b, a = write(folder / "b", 1), write(folder / "a", 2)
    command = [sys.executable, str(ROOT / "tools/merge_datasets.py"), "--input", str(folder)]
    subprocess.run([*command, "--output-prefix", str(tmp_path / "all")], check=True)
    assert read(tmp_path / "all") == a + b
    refused = subprocess.run(
        [*command, "--output-prefix", "x", "--multimodal"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1 and "Use Megatron-LM's own tool" in refused.stderr
