"""Kills between any two steps of replacing a folder lose nothing."""

from pathlib import Path

import pytest

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.folder import MARKER, replaced_folder


def write(output: Path, text: str) -> None:
    with replaced_folder(output) as folder:
        (folder / "text").write_text(text)
        (folder / MARKER).write_text("{}")


def test_new_folder_appears_only_at_the_end(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "deep" / "out") as folder:
        (folder / MARKER).write_text("{}")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / MARKER).is_file()


def test_folder_that_became_something_else_meanwhile_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(ConvertError, match=f"found a folder without {MARKER}"):
        write(tmp_path / "out", "new")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_interrupt_removes_the_new_and_keeps_the_old(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "out") as folder:
        (folder / "text").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "out" / "text").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_kill_while_writing_is_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "rest").write_text("half")
    write(tmp_path / "out", "new")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MARKER, "text"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_kill_between_the_renames_is_undone(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.previous")
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "out"):
        raise KeyboardInterrupt
    assert (tmp_path / "out" / "text").read_text() == "old"


def test_kill_after_the_renames_is_finished(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out").rename(tmp_path / ".out.previous")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "text").write_text("new")
    (tmp_path / "out" / MARKER).write_text("{}")
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "out"):
        raise KeyboardInterrupt
    assert (tmp_path / "out" / "text").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_parent_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConvertError, match="could not be written"):
        write(tmp_path / "file" / "out", "new")
