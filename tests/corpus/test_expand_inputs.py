from pathlib import Path

import pytest

from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.inputs import expand_inputs


def test_patterns_are_sorted_and_order_of_arguments_kept(tmp_path: Path) -> None:
    for name in ("b.xml", "a.xml", "update.xml", "deep/c.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = expand_inputs([tmp_path / "update.xml", f"{tmp_path}/*.xml", f"{tmp_path}/**/*.xml"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "update.xml",
        "a.xml",
        "b.xml",
        "deep/c.xml",
    ]


def test_existing_name_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    path = tmp_path / "a[1].xml"
    path.touch()
    assert expand_inputs([path]) == [path]


def test_no_match_and_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.xml").mkdir()
    with pytest.raises(CorpusError, match=r"'.*\*\.xml': no file matches"):
        expand_inputs([tmp_path / "*.xml"])
    with pytest.raises(CorpusError, match=r"'.*missing\.xml': no file matches"):
        expand_inputs([str(tmp_path / "missing.xml")])
    with pytest.raises(CorpusError, match="expected a file, found a folder"):
        expand_inputs([tmp_path / "folder.xml"])
