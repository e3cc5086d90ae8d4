"""How each number was measured, as lists of text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from megatron_bio.downstream.report.names import named
from megatron_bio.downstream.report.read import Result, TaskResult
from megatron_bio.downstream.report.table import Table


def method_tables(results: Sequence[Result]) -> Iterator[Table]:
    """Models, then for each result its tasks: protocol, data, grid; and overlap with pretraining data."""
    yield Table(
        title="Models",
        columns=(
            "model",
            "type",
            "parameters",
            "vocabulary",
            "step",
            "weights sha256",
            "device",
            "date",
            "versions",
            "command",
        ),
        rows=tuple(_model(result, named(result, results)) for result in results),
    )
    for result in results:
        model = named(result, results)
        for task in result.tasks:
            yield _settings(model, task)
            yield _data(model, task)
            if task.grid:
                yield _grid(model, task)
        if result.language_modelling:
            yield _language_modelling(model, result.language_modelling)
        if result.overlap:
            yield _overlap(model, result.overlap)


def _model(result: Result, name: str) -> tuple[str, ...]:
    identity = result.identity
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        name,
        str(identity.get("type", "")),
        _count(identity.get("parameters")),
        _count(identity.get("vocabulary")),
        "" if identity["step"] is None else f"{identity['step']:,}",
        str(identity.get("sha256", "")),
        result.device,
        result.date,
        versions,
        result.command,
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _settings(model: str, task: TaskResult) -> Table:
    protocol = {name: value for name, value in task.protocol.items() if name != "settings"}
    return Table(
        title=f"{task.name}, {model}: protocol and settings",
        columns=("name", "value"),
        rows=tuple(
            (name, str(value)) for name, value in {**protocol, **task.protocol.get("settings", {})}.items()
        ),
    )


def _data(model: str, task: TaskResult) -> Table:
    rows = []
    for part in task.data:
        left_out = ", ".join(f"{reason}: {count:,}" for reason, count in part.get("left_out", {}).items())
        for file in part.get("files", ()):
            rows.append(
                (str(part["part"]), f"{part['examples']:,}", left_out, str(file["path"]), str(file["sha256"]))
            )
    return Table(
        title=f"{task.name}, {model}: data",
        columns=("part", "examples", "left out", "file", "sha256"),
        rows=tuple(rows),
    )


def _grid(model: str, task: TaskResult) -> Table:
    columns = tuple(task.grid[0])
    return Table(
        title=f"{task.name}, {model}: grid",
        columns=columns,
        rows=tuple(tuple(str(point.get(name, "")) for name in columns) for point in task.grid),
        notes=("The best on development data was repeated with every seed.",),
    )


def _language_modelling(model: str, found: Mapping[str, Any]) -> Table:
    return Table(
        title=f"Language modelling, {model}: protocol and data",
        columns=("name", "value"),
        rows=tuple(
            (name, str(value))
            for group in ("protocol", "data")
            for name, value in (found.get(group) or {}).items()
        ),
    )


def _overlap(model: str, overlap: Mapping[str, Any]) -> Table:
    return Table(
        title=f"{model}: scored data and the pretraining corpus",
        columns=("task", "file", "kept out of the corpus"),
        rows=tuple(
            (str(file["task"]), str(file["path"]), "yes" if file["kept_out"] else "not known to its build")
            for file in overlap.get("files", ())
        ),
        notes=(f"Documents left out of the corpus because of benchmarks: {overlap.get('dropped')}.",),
    )
