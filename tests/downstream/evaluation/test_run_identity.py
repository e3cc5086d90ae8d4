from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.downstream.evaluation.store import RunIdentity
from megatron_bio.downstream.tasks.named_entities import ENTITY_SETTINGS

IDENTITY = RunIdentity(
    task="NCBI-disease",
    settings=ENTITY_SETTINGS,
    seed=1,
    trained_on=("train",),
    model="abc",
    data={"train": ["123"]},
    others={"precision": "fp32"},
)


@pytest.mark.parametrize(
    "changed",
    [
        {"task": "BC2GM"},
        {"settings": replace(ENTITY_SETTINGS, label_pieces="first")},
        {"seed": 2},
        {"trained_on": ("train", "development")},
        {"model": "abd"},
        {"data": {"train": ["124"]}},
        {"others": {"precision": "bf16"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_a_run_depends_on_gives_it_another_folder(changed: dict[str, Any]) -> None:
    folder = IDENTITY.folder(Path("out"))
    assert replace(IDENTITY).folder(Path("out")) == folder
    assert replace(IDENTITY, **changed).folder(Path("out")) != folder


def test_a_folder_has_no_separators_of_the_tasks_name() -> None:
    folder = replace(IDENTITY, task="entities:a/b").folder(Path("out"))
    assert folder.relative_to("out").parts[:2] == ("runs", "entities-a-b")
