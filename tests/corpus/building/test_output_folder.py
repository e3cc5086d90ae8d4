"""The folder of the output: what may stand there before, what an error leaves beside it, and two runs at once."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from megatron_bio.corpus.building.place import move_into_place
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.work_folder import WorkFolder
from tests.corpus.building.conftest import Corpus, Prose
from tests.corpus.building.test_build import mixture

Build = Callable[..., Corpus]
Write = Callable[..., Path]


def test_a_complete_corpus_is_not_built_again_nor_replaced_silently(
    build: Build, prose: Prose, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(mixture(prose, 36))
    corpus = build(source)
    before = {path: path.stat().st_mtime_ns for path in corpus.path.rglob("*")}
    capsys.readouterr()
    build(source, workers=2, resume=False)
    assert "is complete" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in corpus.path.rglob("*")} == before
    with pytest.raises(CorpusError, match=r"other inputs, options or another version(.|\n)*--overwrite true"):
        build(source, minimum_words=3)
    write(mixture(Prose(9), 36))
    with pytest.raises(CorpusError, match="other inputs"):
        build(source)
    assert {path: path.stat().st_mtime_ns for path in corpus.path.rglob("*")} == before
    old = corpus.ids()
    assert build(source, overwrite=True).documents()[0].text not in old
    assert not corpus.path.with_name("corpus.unfinished").exists()
    (corpus.path / "copies.jsonl.zst").unlink()
    with pytest.raises(CorpusError, match="lacks files"):
        build(source)
    assert build(source, overwrite=True).copies()


def test_files_of_others_in_a_corpus_are_never_removed(
    build: Build, prose: Prose, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Document(id=name, text=prose.text()) for name in "12")
    corpus = build(first)
    notes = corpus.path / "train" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(
        CorpusError, match=r"found others: train/notes\.txt\. Nothing was removed\. Move them"
    ):
        build(second, overwrite=True)
    notes.unlink()

    def late(*paths: Path) -> None:
        notes.write_text("mine")
        move_into_place(*paths)

    with monkeypatch.context() as patch:
        patch.setattr("megatron_bio.corpus.building.run.move_into_place", late)
        with pytest.raises(CorpusError, match=r"found others: train/notes\.txt"):
            build(second, overwrite=True)
    assert notes.read_text() == "mine" and corpus.ids() == {"1"}
    notes.rename(corpus.path.parent / "notes.txt")
    assert build(second, overwrite=True).ids() == {"2"}
    assert not corpus.path.with_name("corpus.replaced").exists()


def test_a_folder_of_something_else_is_never_touched(build: Build, prose: Prose, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    document = Document(id="1", text=prose.text())
    assert build(document).ids() == {"1"}, "an empty folder may be there"
    (folder / "manifest.json").unlink()
    for overwrite in (False, True):
        with pytest.raises(CorpusError, match="no manifest"):
            build(document, overwrite=overwrite)
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="found a file"):
        build(document, output="file")
    inside = tmp_path / "new" / "in.jsonl"
    inside.parent.mkdir()
    inside.write_bytes(document.to_json())
    with pytest.raises(CorpusError, match="is an input and lies in"):
        build(inside, output="new")


def test_the_work_folder_stays_only_if_something_in_it_is_of_use(
    build: Build, prose: Prose, tmp_path: Path
) -> None:
    work, bad = tmp_path / "corpus.unfinished", tmp_path / "bad.jsonl"
    good, good_file = Document(id="1", text=prose.text()), tmp_path / "good.jsonl"
    good_file.write_bytes(good.to_json())
    for content in (b"", b"{\n", Document(id="s", text="Short.").to_json()):
        bad.write_bytes(content)
        with pytest.raises(CorpusError) as refused:
            build(bad)
        assert not work.exists() and "goes on" not in str(refused.value)
    bad.write_bytes(b"{\n")
    with pytest.raises(
        DamagedFileError, match=r"line 1: .*corpus\.unfinished: when this is mended, the same"
    ) as stopped:
        build(good_file, bad)
    assert len(list(work.glob("parts/*/counts.json"))) == 1 and stopped.value.path == bad
    bad.write_bytes(good.to_json())
    assert build(good_file, bad).ids() == {"1"} and not work.exists()


def test_a_second_run_on_the_same_output_is_refused(build: Build, prose: Prose, tmp_path: Path) -> None:
    work = tmp_path / "corpus.unfinished"
    work.mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
            "print('held', flush=True); input()",
            str(work / ".lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    document = Document(id="1", text=prose.text())
    for resume in (True, False):
        with pytest.raises(CorpusError, match="expected no other run"):
            build(document, resume=resume)
    holder.communicate(b"\n")
    assert build(document).ids() == {"1"}


def test_a_corpus_that_another_run_finished_meanwhile_is_not_replaced(
    build: Build, prose: Prose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Document(id="1", text=prose.text()), Document(id="2", text=prose.text())
    lock = WorkFolder.locked_beside

    def late(output: Path, resume: bool) -> AbstractContextManager[WorkFolder]:
        monkeypatch.setattr(WorkFolder, "locked_beside", lock)
        build(first)
        return lock(output, resume)

    other = tmp_path / "other.jsonl"
    other.write_bytes(second.to_json())
    monkeypatch.setattr(WorkFolder, "locked_beside", late)
    with pytest.raises(CorpusError, match="other inputs"):
        build(other)
    assert Corpus(tmp_path / "corpus").ids() == {"1"}
