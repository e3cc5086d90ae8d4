"""Mean and deviation over seeds of every measure."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any


def numbers(scores: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested scores with its path, `overall/f1`."""
    for name, value in scores.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from numbers(value, f"{path}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield path, float(value)


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Part → measure → mean, deviation (of a sample, n - 1; None for one seed) and the number of seeds.

    A measure that some seed lacks, such as the row of a type that it never predicted, is over those that have it.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for part, content in run["parts"].items():
            for path, value in numbers(content["scores"]):
                found.setdefault(part, {}).setdefault(path, []).append(value)
    return {
        part: {
            path: {
                "mean": fmean(values),
                "deviation": stdev(values) if len(values) > 1 else None,
                "seeds": len(values),
            }
            for path, values in measures.items()
        }
        for part, measures in found.items()
    }
