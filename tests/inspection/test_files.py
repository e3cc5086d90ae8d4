"""inspect recognises every artifact by its content and says what is in it; anything else is a clear error."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Core

from megatron_bio.config.errors import ConfigurationError, UserError
from megatron_bio.config.extract_text import ExtractTextOptions
from megatron_bio.config.inspect import InspectOptions
from megatron_bio.config.tokens import PreprocessOptions
from megatron_bio.corpus.document import Document, DocumentWriter
from megatron_bio.corpus.text.extract import extract_text
from megatron_bio.inspection import corpora
from megatron_bio.inspection.description import InspectionError
from megatron_bio.inspection.files import inspect
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.tokenizer_files import build_wordpiece

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "aspirin", "lower", "##s", "fever", ".", "A"]
TEXTS = ("aspirin lowers fever. fever lowers aspirin.", "aspirin.")


def core() -> Core:
    return build_wordpiece({token: number for number, token in enumerate(WORDS)}, lowercase=False)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "misnamed.txt"
    with DocumentWriter(path) as writer:
        for number, text in enumerate(TEXTS):
            writer.write(
                Document(id=str(number), title="" if number else "On fever", text=text, source="test")
            )
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    core().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def prefix(tmp_path: Path, documents: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "tokens.v1" / "part.a"
    preprocess(PreprocessOptions(inputs=[str(documents)], tokenizer=tokenizer, output=path))
    capsys.readouterr()
    return path


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    import torch
    import torch.distributed as dist

    from megatron_bio.checkpoint.save import save_checkpoint

    state = {
        "model.layers.0.weight": torch.zeros(4, 3),
        "model.layers.1.weight": torch.zeros(4, 3),
        "model.bias": torch.zeros(5),
        "optimizer.bias.exp_avg": torch.zeros(5),
    }
    info = {"format": 1, "samples": 64, "tokens": 999, "config": {"model": {"num_layers": 2, "preset": None}}}
    own = not dist.is_initialized()
    if own:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for step in (10, 20):
            save_checkpoint(tmp_path / "run" / "checkpoints", step, state, info | {"step": step}, keep=2)
    finally:
        if own:
            dist.destroy_process_group()
    yield tmp_path / "run"


def described(path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    inspect(InspectOptions(path=path, json=True, **options))
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content["path"] == str(path)
    return content


def shown(path: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    """Return the tables as one line of words."""
    inspect(InspectOptions(path=path, **options))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    return " ".join(text.replace("│", " ").split())


def test_documents_whatever_their_name(documents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(documents, capsys)
    assert found["kind"] == "documents" and found["whole_file"] is True
    assert (found["documents"], found["words"], found["characters"]) == (2, 7, sum(map(len, TEXTS)))
    assert (found["first_title"], found["sources"]) == ("On fever", {"test": 2})
    assert "first title On fever" in shown(documents, capsys)


def test_large_documents_file_is_read_in_part_unless_asked(
    documents: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "QUICK_DOCUMENTS", 1)
    found = described(documents, capsys)
    assert (found["documents"], found["whole_file"]) == (1, False) and "--verify reads all" in found["note"]
    found = described(documents, capsys, verify=True)
    assert (found["documents"], found["whole_file"]) == (2, True) and "note" not in found


def test_damaged_documents_are_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n', encoding="utf-8")
    with pytest.raises(UserError, match="line 2"):
        inspect(InspectOptions(path=path))


@pytest.fixture
def corpus(tmp_path: Path, documents: Path) -> Path:
    """As `corpus build` leaves it."""
    folder = tmp_path / "corpus"
    shard = folder / "train" / "documents-00000.jsonl.zst"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(documents.read_bytes())
    other = folder / "dropped.jsonl.zst"
    other.write_bytes(b"anything")
    files = [
        {
            "file": str(path.relative_to(folder)),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in (shard, other)
    ]
    manifest = {
        "program": "megatron-bio 0",
        "inputs": [{}],
        "kept": {"documents": 2, "words": 9},
        "dropped": {"too short": {"documents": 5, "words": 6}},
        "splits": {"train": {"documents": 2, "words": 9, "shards": files[:1]}, "test": {"shards": []}},
        "files": files[1:],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_corpus_is_compared_with_its_manifest(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(corpus, capsys)
    assert (found["kind"], found["files"], found["kept"]) == ("corpus", 2, {"documents": 2, "words": 9})
    assert found["dropped"] == {"too short": 5} and "--verify" in found["checksums"]
    assert found["splits"]["train"] == {"documents": 2, "words": 9, "shards": 1}
    assert described(corpus, capsys, verify=True)["checksums"] == "all right"
    assert "too short 5" in shown(corpus, capsys)
    content = bytearray((corpus / "dropped.jsonl.zst").read_bytes())
    content[0] ^= 1
    (corpus / "dropped.jsonl.zst").write_bytes(content)
    with pytest.raises(InspectionError, match=r"dropped\.jsonl\.zst: sha256 differs"):
        shown(corpus, capsys, verify=True)
    (corpus / "dropped.jsonl.zst").write_bytes(b"")
    with pytest.raises(InspectionError, match="expected 8 bytes, found 0"):
        shown(corpus, capsys, verify=True)
    (corpus / "train" / "documents-00000.jsonl.zst").unlink()
    with pytest.raises(InspectionError, match="cannot be read: No such file"):
        shown(corpus, capsys, verify=True)
    (corpus / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="expected the manifest of a corpus"):
        shown(corpus, capsys)


def test_corpus_is_compared_with_its_folder_without_being_read(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = corpus / "train" / "documents-00000.jsonl.zst"
    (corpus / "train" / "notes.txt").write_text("mine")
    assert described(corpus, capsys)["kind"] == "corpus"
    stray = corpus / "test" / "documents-00007.jsonl.zst"
    stray.parent.mkdir()
    stray.write_bytes(shard.read_bytes())
    for verify in (False, True):
        with pytest.raises(InspectionError, match=r"documents-00007\.jsonl\.zst: expected only shards"):
            inspect(InspectOptions(path=corpus, verify=verify))
    stray.unlink()
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(InspectionError, match=f"expected {len(content)} bytes, found {len(content) - 1}"):
        inspect(InspectOptions(path=corpus))
    shard.unlink()
    with pytest.raises(InspectionError, match="cannot be read: No such file"):
        inspect(InspectOptions(path=corpus))
    assert "problems 1" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_report_of_an_extraction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl.zst"
    source.write_text('{"text": "Some words."}\n{"text": null}\n')
    extract_text(ExtractTextOptions(inputs=[str(source)], output=output))
    report = output.with_name("out.jsonl.zst.report.json").rename(tmp_path / "misnamed")
    capsys.readouterr()
    found = described(report, capsys)
    assert (found["kind"], found["report_on"]) == ("report of an extraction", "out.jsonl.zst")
    assert (found["records_read"], found["kept"], found["skipped"]) == (2, 1, {"no text": 1})
    assert "no text 1" in shown(report, capsys)
    assert described(report, capsys, verify=True)["checksums"] == "all right"
    output.write_bytes(b"other")
    with pytest.raises(InspectionError, match=r"out\.jsonl\.zst: sha256 differs from the one in misnamed"):
        inspect(InspectOptions(path=report, verify=True))
    output.unlink()
    capsys.readouterr()
    assert described(report, capsys)["output_is_there"] is False
    with pytest.raises(InspectionError, match="found no such file"):
        inspect(InspectOptions(path=report, verify=True))


def test_what_an_interrupted_run_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pubmed.jsonl.zst.unfinished"
    folder.mkdir()
    found = described(folder, capsys)
    assert (found["kind"], found["files"]) == ("unfinished work", 0)
    (folder / "000000.jsonl.zst").write_bytes(b"12345")
    found = described(folder, capsys)
    assert (found["files"], found["bytes_on_disk"], found["output_is_there"]) == (1, 5, False)
    assert (
        found["belongs_to"] == str(tmp_path / "pubmed.jsonl.zst") and "same command goes on" in found["note"]
    )


def test_tokenizer_folder(tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(tokenizer, capsys)
    assert (found["kind"], found["tokenizer"], found["vocabulary_size"]) == (
        "tokenizer",
        "WordPiece",
        len(WORDS),
    )
    assert found["special_tokens"] == {token: number for number, token in enumerate(WORDS[:5])}
    assert len(found["sample_tokens"].split()) >= 5
    assert "[MASK] 4" in shown(tokenizer, capsys)


def test_lone_vocabulary_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vocab"
    path.write_text("\n".join(WORDS), encoding="utf-8")
    path = path.rename(tmp_path / "vocab.txt")
    found = described(path, capsys)
    assert (found["kind"], found["vocabulary_size"]) == ("vocabulary", len(WORDS))


@pytest.mark.parametrize("ending", ["", ".bin", ".idx"])
def test_token_data_by_prefix_or_file(prefix: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(prefix.with_name(prefix.name + ending), capsys)
    assert (found["kind"], found["one_sequence_is"]) == ("token data", "a sentence")
    assert (found["documents"], found["sequences"], found["tokens"]) == (2, 3, 14)
    assert "--verify" in found["checksums"]


def test_token_data_as_text_and_compared_with_its_checksums(
    prefix: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = described(prefix, capsys, tokenizer=tokenizer, verify=True)
    assert found["first_document"] == f"[UNK] fever {TEXTS[0]}"
    assert "made with this tokenizer" in found["tokenizer_check"]
    assert found["checksums"] == "all right"
    data = prefix.with_name(prefix.name + ".bin")
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.write_bytes(content)
    assert "--verify" in described(prefix, capsys)["checksums"]
    with pytest.raises(InspectionError, match=r"part\.a\.bin: sha256 differs"):
        inspect(InspectOptions(path=prefix, verify=True))
    assert "checksums wrong" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_token_data_of_other_programs(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix.with_name(prefix.name + ".json").unlink()
    found = described(prefix, capsys, verify=True)
    assert (
        found["one_sequence_is"] == "not known" and found["checksums"] == "none: written by another program"
    )


def test_run_shows_its_newest_checkpoint(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints" / ".step-00000030.partial").mkdir()
    found = described(run, capsys)
    assert found["kind"] == "run"
    assert found["complete_checkpoints"] == ["step-00000010", "step-00000020"]
    assert found["incomplete"] == [".step-00000030.partial"]
    newest = found["newest"]
    assert (newest["checkpoint"], newest["step"], newest["samples"], newest["tokens"]) == (
        "step-00000020",
        20,
        64,
        999,
    )
    assert newest["parameters"] == 4 * 3 * 2 + 5
    assert newest["config"] == {"model": {"num_layers": 2, "preset": None}}
    assert found["tensor_shapes"]["model.layers.1.weight"] == [4, 3]
    text = shown(run, capsys)
    assert "model.layers.*.weight 4 x 3 2 24" in text
    assert "optimizer.* as the model's 1 5" in text
    assert "model num_layers 2" in text and "preset" not in text


def test_checkpoint_is_compared_with_its_manifest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run / "checkpoints" / "step-00000010"
    assert described(folder, capsys, verify=True)["checksums"] == "all right"
    tensors = next(folder.glob("*.distcp"))
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    assert described(folder, capsys)["complete"] is True
    with pytest.raises(InspectionError, match="sha256 differs"):
        inspect(InspectOptions(path=folder, json=True, verify=True))
    found = json.loads(capsys.readouterr().out)
    assert found["checksums"] == "wrong" and len(found["problems"]) == 1


def test_checkpoint_without_manifest_is_incomplete(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run / "checkpoints" / "step-00000020"
    (folder / "manifest.json").unlink()
    found = described(folder, capsys)
    assert found["complete"] is False and "interrupted" in found["note"]
    assert described(run, capsys)["newest"]["step"] == 10


def test_run_without_a_complete_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    found = described(tmp_path / "run", capsys)
    assert found["kind"] == "run without a complete checkpoint" and found["complete_checkpoints"] == []


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("notes.md", b"# Notes\n", "begins with '# Notes"),
        ("empty", b"", "begins with ''"),
        ("x.xml", b"<a/>", "<a/>"),
    ],
)
def test_other_files_are_told_from_what_is_understood(
    name: str, content: bytes, found: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InspectionError) as error:
        inspect(InspectOptions(path=tmp_path / name))
    assert found in str(error.value)
    for kind in ("documents", "corpus", "tokenizer", "token data", "run", "checkpoint", "Hugging Face"):
        assert kind in str(error.value)


def test_other_folders_and_missing_names(tmp_path: Path, documents: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InspectionError, match="a folder with nothing"):
        inspect(InspectOptions(path=tmp_path / "folder"))
    with pytest.raises(InspectionError, match=r"Did you mean .*misnamed\.txt\?"):
        inspect(InspectOptions(path=tmp_path / "misnamd.txt"))
    with pytest.raises(InspectionError, match="Check the name"):
        inspect(InspectOptions(path=tmp_path / "no" / "such"))


def test_tokenizer_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="--tokenizer: expected a tokenizer folder"):
        InspectOptions(path=Path("x"), tokenizer=Path("/nonexistent"))
