"""What `data check` found in a folder → the files of a task by part."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.data_check.findings import Findings, Part
from megatron_bio.downstream.data_check.kinds import Kind
from megatron_bio.downstream.data_check.names import ALSO_CALLED, named_benchmark
from megatron_bio.downstream.tasks.form import PartName
from megatron_bio.tokens.data_file import DataFile

_GOLDEN = re.compile(r"(\d+)B\d")
_UNANSWERABLE = re.compile(r'"is_impossible"\s*:\s*true')
_BOTH = {"train", "development"}
"""Of a file that holds the training and the development part, which others give one by one."""
_PARTS: tuple[PartName, ...] = ("train", "development", "test")


def files_of(
    findings: Findings, benchmarks: Collection[str], kinds: Collection[Kind | str], *, whole: bool = False
) -> dict[PartName, tuple[Path, ...]]:
    """The files of the parts that are there; nothing if no file is of these benchmarks and forms.

    A name with one of the usual words for a part tells it. One with those of training and development is for training where no
    other file is either. Of BioASQ's golden files the latest year's are the test, earlier ones train. A single file whose name
    tells nothing is for training, also with PubMedQA's decisions for its test part beside it; of several it is not taken.
    Raises ConfigurationError for a file of these benchmarks that is damaged, and with `whole`, for data of the user's own, for one
    that is not taken: without it the task would be another one.
    """
    parts = [part for part in findings.parts if part.benchmark in benchmarks and part.kind in kinds]
    _require_undamaged(findings, benchmarks, parts)
    _require_one_folder_of_folds(parts)
    found: dict[PartName, list[Path]] = defaultdict(list)
    latest = max((year for part in parts if (year := _golden_year(part)) is not None), default=None)
    alone = sum(part.kind != "PubMedQA decisions" for part in parts) == 1
    apart = any(_named(part) in ({"train"}, {"development"}) for part in parts)
    for part in parts:
        name = None if apart and _named(part) == _BOTH else _part_name(part, latest, alone)
        if name is None and whole and _named(part) != _BOTH:
            raise ConfigurationError(
                f"{part.files[0].path}: expected train, development or test as a word of its name, found none or several. Rename "
                "it, or take it out of the folder."
            )
        if name is None:
            continue
        found[name] += [file.path for file in part.files]
    return {name: tuple(sorted(found[name])) for name in _PARTS if name in found}


def is_unanswerable(path: Path) -> bool:
    """Whether a file in SQuAD's form has questions without an answer, as SQuAD 2.0 has."""
    return _UNANSWERABLE.search(DataFile(path).text) is not None


def _part_name(part: Part, latest: int | None, alone: bool) -> PartName | None:
    named = _named(part)
    if (year := _golden_year(part)) is not None:
        return "test" if year == latest else "train"
    if len(named) == 1:
        return next(name for name in _PARTS if name in named)
    return "train" if alone or named == _BOTH else None


def _named(part: Part) -> set[str]:
    words = [ALSO_CALLED.get(word.casefold()) for word in re.findall("[A-Za-z]+", part.name)]
    return {word for word in words if word is not None}


def _golden_year(part: Part) -> int | None:
    match = _GOLDEN.search(part.name) if part.kind == "BioASQ" else None
    return int(match[1]) if match else None


def _require_undamaged(findings: Findings, benchmarks: Collection[str], parts: Sequence[Part]) -> None:
    """Also a file called train, development or test must be in a form that can be read."""
    folders = {file.path.parent for part in parts for file in part.files}

    def concerns(path: Path) -> bool:
        named = named_benchmark(path)
        return (
            named in benchmarks
            or path.parent.name in benchmarks
            or (named is None and path.parent in folders)
        )

    for path, message in findings.damaged.items():
        if concerns(path):
            raise ConfigurationError(f"{message} If it is not needed, take it out of the folder.")
    for path in findings.unknown:
        if path.name.partition(".")[0].casefold() in ALSO_CALLED and concerns(path):
            raise ConfigurationError(
                f"{path}: expected a file in one of the forms of benchmarks, as its name says train, development or test; found "
                "none of them. Correct it, or take it out of the folder."
            )


def _require_one_folder_of_folds(parts: Sequence[Part]) -> None:
    folds = sorted(
        {part.files[0].path.parent for part in parts if part.files[0].path.parent.name.isdecimal()}
    )
    if len(folds) > 1:
        raise ConfigurationError(
            f"{folds[0].parent}: expected one training set, found {len(folds)} folds. Name the folds as tasks: "
            + " ".join(f"relations:{fold.parent.name}/{fold.name}" for fold in folds[:2])
            + " …"
        )
