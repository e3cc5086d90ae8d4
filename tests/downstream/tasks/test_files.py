"""Which files a task takes from a folder."""

from pathlib import Path

import pytest

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.data_check.look import look_into
from megatron_bio.downstream.tasks.form import PartName
from megatron_bio.downstream.tasks.known import named_tasks, passed_over

WORDS = "Aspirin\tO\nlowers\tO\nfever\tB-Disease\n"


def written(folder: Path, *names: str, text: str = WORDS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def taken(folder: Path, task: str) -> dict[PartName, list[str]]:
    ((_, files),) = named_tasks([task], look_into(folder), lambda name: look_into(folder / name))
    return {part: [path.name for path in paths] for part, paths in files.items()}


def test_training_and_development_in_one_file_are_not_taken_beside_each_alone(tmp_path: Path) -> None:
    written(tmp_path / "BC2GM", "train.tsv", "train_dev.tsv", "devel.tsv", "test.tsv")
    expected = {"train": ["train.tsv"], "development": ["devel.tsv"], "test": ["test.tsv"]}
    assert taken(tmp_path, "BC2GM") == taken(tmp_path, "entities:BC2GM") == expected
    for name in ("train.tsv", "devel.tsv"):
        (tmp_path / "BC2GM" / name).unlink()
    assert taken(tmp_path, "BC2GM") == {"train": ["train_dev.tsv"], "test": ["test.tsv"]}


@pytest.mark.parametrize("task", ["BC2GM", "entities:BC2GM", "all"])
def test_a_damaged_part_is_not_left_out(tmp_path: Path, task: str) -> None:
    folder = written(tmp_path / "BC2GM", "train.tsv", "devel.tsv", "test.tsv")
    written(tmp_path / "NCBI-disease", "train.tsv", "devel.tsv")
    (folder / "test.tsv").write_text(f"{WORDS}\nno tag here\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"test\.tsv: line 5: expected a word and an IOB tag"):
        taken(tmp_path, task)
    written(folder, "test.tsv", text="Aspirin\nlowers\nfever\n")
    with pytest.raises(ConfigurationError, match=r"test\.tsv: expected a file in one of the forms"):
        taken(tmp_path, task)
    assert set(taken(tmp_path, "NCBI-disease")) == {"train", "development"}


def test_every_file_of_ones_own_has_a_part(tmp_path: Path) -> None:
    written(tmp_path / "mine", "train.tsv", "devel.tsv", "held-out.tsv")
    with pytest.raises(ConfigurationError, match=r"held-out\.tsv: expected train, development or test"):
        taken(tmp_path, "entities:mine")


def test_what_all_passes_over_is_known(tmp_path: Path) -> None:
    written(tmp_path / "BC2GM", "train.tsv")
    written(tmp_path / "NCBI-disease", "train.tsv", "devel.tsv")
    assert passed_over(look_into(tmp_path)) == ["BC2GM"]
