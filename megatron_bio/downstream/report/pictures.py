"""Learning curves, and scores against pretraining steps, as SVG, the same bytes for the same results."""

import io
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.report.names import named
from megatron_bio.downstream.report.read import Result

_SIZE = (6.4, 3.6)


def require_matplotlib() -> None:
    """Raises ConfigurationError if it is not installed."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            "--pictures: expected matplotlib, found that it is not installed. Install it with pip install 'megatron-bio[eval]', "
            "or give --pictures false."
        )


def pictures(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """Titles and SVG: for each task the development curves of all models, then the steps."""
    for name in sorted({task.name for result in results for task in result.tasks}):
        lines = [
            (
                named(result, results),
                [
                    (point["epoch"], point["measure"])
                    for point in run["curve"]
                    if point.get("measure") is not None
                ],
            )
            for result in results
            for task in result.tasks
            if task.name == name
            for run in task.runs
        ]
        if any(points for _, points in lines):
            yield (
                f"{name}: development by epoch, a line for each seed",
                _drawn(lines, "epoch", "main measure"),
            )
    yield from _steps(results)


def _steps(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    found: dict[str, list[tuple[int, float, float]]] = {}
    stepped = [result for result in results if result.identity["step"] is not None]
    several_runs = len({result.run for result in stepped}) > 1
    for result in stepped:
        run = f"{result.run}: " if several_runs else ""
        for task in result.tasks:
            part = "test" if "test" in task.summary else "development"
            measure = task.summary.get(part, {}).get(task.main)
            if measure is not None:
                found.setdefault(f"{run}{task.name}, {part}", []).append(
                    (result.identity["step"], measure.mean, measure.deviation or 0.0)
                )
    several = {
        name: sorted(points) for name, points in found.items() if len({step for step, *_ in points}) > 1
    }
    if several:
        yield "Main measures against pretraining steps, mean and deviation", _drawn_with_errors(several)


def _drawn(lines: Sequence[tuple[str, list[tuple[float, float]]]], horizontal: str, vertical: str) -> str:
    figure, axes = _figure()
    colours = {model: f"C{number}" for number, model in enumerate(dict.fromkeys(model for model, _ in lines))}
    labelled: set[str] = set()
    for model, points in lines:
        label = None if model in labelled else _plain(model)
        labelled.add(model)
        axes.plot(
            *zip(*points, strict=True), color=colours[model], label=label, linewidth=1
        ) if points else None
    return _finished(figure, axes, horizontal, vertical)


def _drawn_with_errors(lines: dict[str, list[tuple[int, float, float]]]) -> str:
    figure, axes = _figure()
    for name, points in lines.items():
        steps, means, deviations = zip(*points, strict=True)
        axes.errorbar(steps, means, yerr=deviations, label=_plain(name), capsize=3)
    return _finished(figure, axes, "step", "main measure")


def _figure() -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "megatron-bio"
    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, figure.add_subplot()


def _finished(figure: Any, axes: Any, horizontal: str, vertical: str) -> str:
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.legend(fontsize="small")
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _plain(text: str) -> str:
    """Without matplotlib's mathematics, and not hidden by a leading underscore."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return printable.replace("$", r"\$").lstrip("_") or "model"
