"""results.json → what the tables are made of, with every number checked."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.report.check import check_language_modelling, check_overlap, check_task
from megatron_bio.downstream.report.fields import DamagedFieldError, field, field_or_none
from megatron_bio.downstream.report.studies import FILES, FORMAT, Studies, check_study, kind_of

FILE, FORM, VERSION = "results.json", "megatron-bio results", 1


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number over seeds."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task of one model."""

    name: str
    kind: str
    main: str
    """Path of the main measure, `overall/f1`."""
    protocol: Mapping[str, Any]
    data: tuple[Mapping[str, Any], ...]
    grid: tuple[Mapping[str, Any], ...]
    runs: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Mapping[str, Measure]]
    """Part → path of a measure → measure."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One file."""

    path: Path
    model: str
    identity: Mapping[str, Any]
    command: str
    versions: Mapping[str, Any]
    device: str
    date: str
    tasks: tuple[TaskResult, ...]
    language_modelling: Mapping[str, Any] | None
    overlap: Mapping[str, Any] | None

    @property
    def run(self) -> str:
        """Which results are steps of one pretraining. `evaluate --run` calls each model as its checkpoint and the folder of its
        results; the run's folder is above that.
        """
        folder = self.path.parent
        return folder.parent.name if self.model == folder.name else self.model


def read_inputs(paths: Iterable[Path]) -> tuple[list[Result], Studies]:
    """Results in the order of model names, then paths, and what other verbs counted; a file that is named twice counts once.

    Raises ConfigurationError, with file and field, for what is none of these or of another version.
    """
    files = {file.resolve(): file for path in paths for file in _files(path)}
    found = [(file, _read(file)) for _, file in sorted(files.items())]
    results = [read for _, read in found if isinstance(read, Result)]
    studies = [(file, read) for file, read in found if not isinstance(read, Result)]
    return sorted(results, key=lambda one: (one.model, one.identity["step"] or 0, str(one.path))), studies


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    found = sorted(file for name in (FILE, *FILES) for file in path.rglob(name)) if path.is_dir() else []
    if not found:
        raise ConfigurationError(
            f"{path}: expected {FILE} of `megatron-bio evaluate`, or a folder with some, found none."
        )
    yield from found


def _read(path: Path) -> Result | dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(content, ensure_ascii=False).encode()  # half a character could not be written
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}: expected JSON of `megatron-bio evaluate`, found: {error}. Give another file, or make it again."
        ) from error
    kind = kind_of(content)
    try:
        if kind is None:
            _check_form(path, content)
            return _result(path, content)
        if field_or_none(content, "format", int) not in (None, FORMAT):
            raise DamagedFieldError(f"format: expected {FORMAT}, found {content['format']}")
        check_study(kind, content)
    except DamagedFieldError as error:
        again = f"Make it again with `megatron-bio {kind or 'evaluate'}`."
        raise ConfigurationError(f"{path}: {error}. {again}") from error
    return dict(content)


def _check_form(path: Path, content: Any) -> None:
    if isinstance(content, dict) and {"task", "options", "scores"} <= content.keys():
        raise ConfigurationError(
            f"{path}: expected {FILE} of `megatron-bio evaluate`, found that of `megatron-bio score`, which knows neither "
            "model nor protocol. Leave it out."
        )
    if field(content, "form", str) != FORM:
        raise DamagedFieldError(f"form: expected {FORM!r}, found {content['form'][:60]!r}")
    if field(content, "version", int) > VERSION:
        raise ConfigurationError(
            f"{path}: version: expected {VERSION}, found {content['version']}, of a later megatron-bio. Update this one."
        )
    if content["version"] != VERSION:
        raise DamagedFieldError(f"version: expected {VERSION}, found {content['version']}")


def _result(path: Path, content: dict[str, Any]) -> Result:
    model = field(content, "model", dict)
    for name in ("parameters", "vocabulary", "pretraining_step"):
        field_or_none(model, name, int, "model.")
    random = bool(field_or_none(model, "random_weights", bool, "model."))
    step = None if random else model.get("pretraining_step")
    tasks = field(content, "tasks", dict)
    check_overlap(field_or_none(content, "overlap", dict))
    check_language_modelling(field_or_none(content, "language_modelling", dict))
    return Result(
        path=path,
        model=field(model, "name", str, "model."),
        identity={**model, "step": step, "random_weights": random},
        command=" ".join(map(str, field(content, "command", list))),
        versions=field(content, "versions", dict),
        device=str(content.get("device", "unknown")),
        date=str(content.get("date", "unknown")),
        tasks=tuple(_task(name, tasks[name]) for name in sorted(tasks)),
        language_modelling=content.get("language_modelling"),
        overlap=content.get("overlap"),
    )


def _task(name: str, content: Any) -> TaskResult:
    where = f"tasks.{name}."
    check_task(content, where)
    summary = field(content, "summary", dict, where)
    return TaskResult(
        name=name,
        kind=field(content, "kind", str, where),
        main="/".join(map(str, field(content, "main_measure", list, where))),
        protocol=content["protocol"],
        data=tuple(content["data"]),
        grid=tuple(content["grid"]),
        runs=tuple(content["runs"]),
        summary={
            part: {
                path: _measure(value, f"{where}summary.{part}.{path}.")
                for path, value in field(summary, part, dict, f"{where}summary.").items()
            }
            for part in summary
        },
    )


def _measure(content: Any, where: str) -> Measure:
    return Measure(
        mean=field(content, "mean", (int, float), where),
        deviation=field_or_none(content, "deviation", (int, float), where),
        seeds=field(content, "seeds", int, where),
    )
