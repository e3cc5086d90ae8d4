"""Results → tables of text, the same ones for Markdown, HTML and CSV."""

from collections.abc import Iterator, Sequence
from typing import Any

from megatron_bio.downstream.report.check import MEASURES
from megatron_bio.downstream.report.names import named
from megatron_bio.downstream.report.protocols import difference, in_words, published_in_words
from megatron_bio.downstream.report.published import PUBLISHED, of_task
from megatron_bio.downstream.report.read import Measure, Result, TaskResult
from megatron_bio.downstream.report.table import Table

_LANGUAGE_MODELLING = ("kind", *MEASURES)
_MOST_MEASURES = 6


def score_tables(results: Sequence[Result]) -> Iterator[Table]:
    """One for each task and part: our rows, then published ones, whose protocol is compared with ours."""
    tasks = sorted({(task.kind, task.name) for result in results for task in result.tasks})
    for _, name in tasks:
        of_models = [(result, task) for result in results for task in result.tasks if task.name == name]
        for part in sorted({part for _, task in of_models for part in task.summary}):
            of_part = [pair for pair in of_models if part in pair[1].summary]
            yield _score_table(name, part, of_part)
            yield from _class_tables(name, part, of_part)


def language_modelling_table(results: Sequence[Result]) -> Table | None:
    """Loss, perplexity and bits per byte; None if nobody measured them."""
    measured = [(result, result.language_modelling) for result in results if result.language_modelling]
    if not measured:
        return None
    return Table(
        title="Language modelling",
        columns=("model", *(name.replace("_", " ") for name in _LANGUAGE_MODELLING)),
        rows=tuple(
            (named(result, results), *(_plain(found.get(name)) for name in _LANGUAGE_MODELLING))
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
            named(result, results),
            *(_cell(task.summary[part].get(path)) for path in measures),
            in_words(task),
        )
        for result, task in of_models
    ]
    published = of_task(name, part, main)
    rows += [
        (
            f"{row.model} [{mark}]",
            _as_published(row.value),
            *(_as_published(row.beside[path]) if path in row.beside else "" for path in measures[1:]),
            published_in_words(row),
        )
        for mark, row in enumerate(published, start=1)
    ]
    return Table(
        title=f"{name}, {part}",
        columns=("model", *(path.replace("_", " ") for path in measures), "protocol"),
        rows=tuple(rows),
        notes=tuple(
            f"[{mark}] {row.source}. {difference(row, [task for _, task in of_models])}"
            for mark, row in enumerate(published, start=1)
        ),
    )


def _class_tables(name: str, part: str, of_models: Sequence[tuple[Result, TaskResult]]) -> Iterator[Table]:
    """For each group of rows in the scores, such as `by_type`, a table of all its rows for each model."""
    results = [result for result, _ in of_models]
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for _, task in of_models:
        for path in task.summary[part]:
            group, _, rest = path.partition("/")
            label, _, measure = rest.rpartition("/")
            if group.startswith("by_") and label and not _is_count(path):
                found.setdefault(group, {}).setdefault(label, {})[measure] = []
    for group, labels in found.items():
        measures = list(dict.fromkeys(measure for row in labels.values() for measure in row))
        yield Table(
            title=f"{name}, {part}, {group.replace('_', ' ')}",
            columns=(
                group.removeprefix("by_"),
                "model",
                *(measure.replace("_", " ") for measure in measures),
            ),
            rows=tuple(
                (
                    label,
                    named(result, results),
                    *(_cell(task.summary[part].get(f"{group}/{label}/{measure}")) for measure in measures),
                )
                for label in labels
                for result, task in of_models
            ),
        )


def size_table(results: Sequence[Result]) -> Table | None:
    """Main measures of all tasks by vocabulary and size of the model (Tables 2 and 3 of the BioMegatron paper), without those of
    which several steps are there.
    """
    steps: dict[str, set[int | None]] = {}
    for result in results:
        steps.setdefault(result.run, set()).add(result.identity["step"])
    measured = [
        result
        for result in results
        if result.tasks and (result.identity["step"] is None or len(steps[result.run] - {None}) == 1)
    ]
    names = sorted({task.name for result in measured for task in result.tasks})
    if not names:
        return None
    rows = []
    for result in measured:
        by_name = {task.name: task for task in result.tasks}
        rows.append(
            (
                named(result, measured),
                _plain(result.identity.get("vocabulary")),
                _plain(result.identity.get("parameters")),
                *(_marked_cell(by_name.get(name)) for name in names),
            )
        )
    parts = {(task.name, _best_part(task)) for result in measured for task in result.tasks}
    published: dict[str, dict[str, str]] = {}
    for row in PUBLISHED:
        if (row.task, row.part) in parts:
            value = _as_published(row.value) + (" (d)" if row.part != "test" else "")
            published.setdefault(f"{row.model} [{row.source}]", {})[row.task] = value
    rows += [
        (model, "", "", *(values.get(name, "") for name in names)) for model, values in published.items()
    ]
    return Table(
        title="Vocabulary and size of the model",
        columns=("model", "vocabulary", "parameters", *names),
        rows=tuple(rows),
        notes=(
            "Main measure of each task, on test data; (d) on development data.",
            "Published rows have other protocols; the tables of the tasks say in what.",
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
                named(result, stepped),
                *(_marked_cell(by_name.get(name)) for name in names),
            )
        )
    return Table(
        title="Steps of pretraining",
        columns=("step", "model", *names),
        rows=tuple(rows),
        notes=("Main measure of each task, on test data; (d) on development data.",),
    )


def _marked_cell(task: TaskResult | None) -> str:
    if task is None:
        return ""
    part = _best_part(task)
    text = _cell(task.summary.get(part, {}).get(task.main))
    return f"{text} (d)" if text and part != "test" else text


def _best_part(task: TaskResult) -> str:
    return "test" if "test" in task.summary else "development"


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


def _as_published(value: float) -> str:
    """With the digits that were published: one or two."""
    return f"{value:.2f}".removesuffix("0")
