"""Results → tables of text, the same ones for Markdown, HTML and CSV."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from megatron_bio.downstream.report.published import NOT_PUBLISHED, Published, of_task
from megatron_bio.downstream.report.read import Measure, Result, TaskResult

_LANGUAGE_MODELLING = (
    *("kind", "loss", "perplexity", "accuracy", "bits_per_byte"),
    *("nats_per_word", "bits_per_predicted_byte", "tokens", "documents"),
)
_MOST_MEASURES = 6


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a head."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def score_tables(results: Sequence[Result]) -> Iterator[Table]:
    """One for each task and part: our rows, then published ones, whose protocol is compared with ours."""
    tasks = sorted({(task.kind, task.name) for result in results for task in result.tasks})
    for _, name in tasks:
        of_models = [(result, task) for result in results for task in result.tasks if task.name == name]
        for part in sorted({part for _, task in of_models for part in task.summary}):
            yield _score_table(name, part, [pair for pair in of_models if part in pair[1].summary])


def language_modelling_table(results: Sequence[Result]) -> Table | None:
    """Loss, perplexity and bits per byte; None if nobody measured them."""
    measured = [(result, result.language_modelling) for result in results if result.language_modelling]
    if not measured:
        return None
    return Table(
        title="Language modelling",
        columns=("model", *(name.replace("_", " ") for name in _LANGUAGE_MODELLING)),
        rows=tuple(
            (_named(result, results), *(_plain(found.get(name)) for name in _LANGUAGE_MODELLING))
            for result, found in measured
        ),
        notes=(
            "Compare rows of the same kind and documents only; docs/evaluate-lm.md says which measures allow other vocabularies.",
        ),
    )


def _score_table(name: str, part: str, of_models: Sequence[tuple[Result, TaskResult]]) -> Table:
    results = [result for result, _ in of_models]
    main = of_models[0][1].main
    beside = main.rpartition("/")[0]
    measures = [main] + [
        path
        for path in of_models[0][1].summary[part]
        if path != main and path.rpartition("/")[0] == beside and not _is_count(path)
    ]
    measures = measures[:_MOST_MEASURES]
    rows = [
        (
            _named(result, results),
            *(_cell(task.summary[part].get(path)) for path in measures),
            _protocol(task),
        )
        for result, task in of_models
    ]
    published = of_task(name, main) if part == "test" else []
    marks = {row: mark for mark, row in enumerate(published, start=1)}
    rows += [
        (
            f"{row.model} [{marks[row]}]",
            f"{row.value:.1f}",
            *[""] * (len(measures) - 1),
            _published_protocol(row),
        )
        for row in published
    ]
    return Table(
        title=f"{name}, {part}",
        columns=("model", *(path.replace("_", " ") for path in measures), "protocol"),
        rows=tuple(rows),
        notes=tuple(
            f"[{marks[row]}] {row.source}. {_difference(row, [task for _, task in of_models])}"
            for row in published
        ),
    )


def step_table(results: Sequence[Result]) -> Table | None:
    """Main measures against pretraining steps (Table 6 of the BioMegatron paper); None without two steps of one model's run."""
    stepped = [result for result in results if result.identity["step"] is not None and result.tasks]
    if len({result.identity["step"] for result in stepped}) < 2:
        return None
    names = sorted({task.name for result in stepped for task in result.tasks})
    rows = []
    for result in sorted(stepped, key=lambda result: result.identity["step"]):
        by_name = {task.name: task for task in result.tasks}
        rows.append(
            (
                f"{result.identity['step']:,}",
                _named(result, stepped),
                *(_main_cell(by_name.get(name)) for name in names),
            )
        )
    return Table(
        title="Steps of pretraining",
        columns=("step", "model", *names),
        rows=tuple(rows),
        notes=("Test part where it was scored, else development.",),
    )


def _named(result: Result, among: Sequence[Result]) -> str:
    """The model's name, with the file where several have it."""
    alike = [other for other in among if other.model == result.model]
    return result.model if len(alike) == 1 else f"{result.model} ({result.path})"


def _main_cell(task: TaskResult | None) -> str:
    if task is None:
        return ""
    part = "test" if "test" in task.summary else "development"
    return _cell(task.summary.get(part, {}).get(task.main))


def _cell(measure: Measure | None) -> str:
    if measure is None:
        return ""
    deviation = "" if measure.deviation is None else f" ± {measure.deviation:.2f}"
    return f"{measure.mean:,.2f}{deviation}"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.3f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def _is_count(path: str) -> bool:
    return path.rpartition("/")[2] in ("correct", "predicted", "gold", "tokens", "questions")


def _protocol(task: TaskResult) -> str:
    protocol = task.protocol
    settings = protocol.get("settings", {})
    chosen = f", grid of {len(task.grid)} on development" if task.grid else ""
    return (
        f"trained on {protocol.get('train_on')}, {settings.get('epochs')} epochs, lr {settings.get('learning_rate')}, "
        f"batch {settings.get('batch_size')}, {len(protocol.get('seeds', ()))} seeds{chosen}"
    )


def _published_protocol(row: Published) -> str:
    return f"trained on: {row.train_on}, epochs: {row.epochs}, seeds: {row.seeds}"


def _difference(row: Published, tasks: Sequence[TaskResult]) -> str:
    """In which fields a published protocol differs from ours, or is not known."""
    found = []
    for name, theirs, ours in (
        ("training data", row.train_on, {str(task.protocol.get("train_on")) for task in tasks}),
        ("epochs", row.epochs, {str(task.protocol.get("settings", {}).get("epochs")) for task in tasks}),
        ("seeds", row.seeds, {str(len(task.protocol.get("seeds", ()))) for task in tasks}),
    ):
        if theirs == NOT_PUBLISHED:
            found.append(f"{name} not published")
        elif ours != {theirs}:
            found.append(f"{name} differ: {theirs}, here {', '.join(sorted(ours))}")
    return (
        f"Not the same protocol as ours: {'; '.join(found)}."
        if found
        else "The same protocol as far as it is published."
    )
