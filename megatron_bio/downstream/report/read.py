"""results.json → what the tables are made of, with every number checked."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import ConfigurationError

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


class _DamagedError(Exception):
    """Where in the file, and what was expected."""


def read_results(paths: Iterable[Path]) -> list[Result]:
    """The results of files and folders, in the order of model names, then paths; a file that is named twice counts once.

    Raises ConfigurationError, with file and field, for what is no result of this version.
    """
    files = {file.resolve(): file for path in paths for file in _files(path)}
    found = [_read(file) for _, file in sorted(files.items())]
    return sorted(found, key=lambda result: (result.model, result.identity["step"] or 0, str(result.path)))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    found = sorted(path.rglob(FILE)) if path.is_dir() else []
    if not found:
        raise ConfigurationError(
            f"{path}: expected {FILE} of `megatron-bio evaluate`, or a folder with some, found none."
        )
    yield from found


def _read(path: Path) -> Result:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}: expected JSON of `megatron-bio evaluate`, found: {error}"
        ) from error
    try:
        if _get(content, "form", str) != FORM or content.get("version") != VERSION:
            raise _DamagedError(
                f"form: expected {FORM!r}, version {VERSION}, found {content.get('form')!r}, {content.get('version')!r}"
            )
        return _result(path, content)
    except _DamagedError as error:
        raise ConfigurationError(f"{path}: {error}. Make it again with `megatron-bio evaluate`.") from error


def _result(path: Path, content: dict[str, Any]) -> Result:
    model = _get(content, "model", dict)
    step = model.get("pretraining_step")
    tasks = _get(content, "tasks", dict)
    return Result(
        path=path,
        model=_get(model, "name", str, "model."),
        identity={**model, "step": step if isinstance(step, int) else None},
        command=" ".join(map(str, _get(content, "command", list))),
        versions=_get(content, "versions", dict),
        device=str(content.get("device", "unknown")),
        date=str(content.get("date", "unknown")),
        tasks=tuple(_task(name, tasks[name]) for name in sorted(tasks)),
        language_modelling=content.get("language_modelling"),
        overlap=content.get("overlap"),
    )


def _task(name: str, content: Any) -> TaskResult:
    where = f"tasks.{name}."
    summary = _get(content, "summary", dict, where)
    return TaskResult(
        name=name,
        kind=_get(content, "kind", str, where),
        main="/".join(map(str, _get(content, "main_measure", list, where))),
        protocol=_get(content, "protocol", dict, where),
        data=tuple(_get(content, "data", list, where)),
        grid=tuple(_get(content, "grid", list, where)),
        runs=tuple(_get(content, "runs", list, where)),
        summary={
            part: {path: _measure(value, f"{where}summary.{part}.{path}") for path, value in measures.items()}
            for part, measures in summary.items()
        },
    )


def _measure(content: Any, where: str) -> Measure:
    deviation = _get(content, "deviation", (int, float, type(None)), f"{where}.")
    mean = _get(content, "mean", (int, float), f"{where}.")
    if not math.isfinite(mean) or (deviation is not None and not math.isfinite(deviation)):
        raise _DamagedError(f"{where}: expected finite numbers, found {mean}, {deviation}")
    return Measure(mean=mean, deviation=deviation, seeds=_get(content, "seeds", int, f"{where}."))


def _get(content: Any, name: str, expected: Any, above: str = "") -> Any:
    if not isinstance(content, dict) or not isinstance(content.get(name), expected):
        found = content.get(name, "nothing") if isinstance(content, dict) else content
        names = getattr(expected, "__name__", None) or " or ".join(each.__name__ for each in expected)
        raise _DamagedError(f"{above}{name}: expected {names}, found {str(found)[:60]!r}")
    return content[name]
