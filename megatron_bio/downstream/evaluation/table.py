"""The results as lines for a terminal."""

from collections.abc import Mapping
from typing import Any

_MOST_MEASURES = 4


def table(results: Mapping[str, Any]) -> list[str]:
    """A line for each task and part: the main measure first, then what else stands beside it, mean ± deviation over seeds."""
    lines = [f"{results['model']['name']}: mean ± deviation over seeds"]
    for name, task in results["tasks"].items():
        main = "/".join(task["main_measure"])
        beside = main.rpartition("/")[0]
        for part, measures in task["summary"].items():
            if main not in measures:
                continue
            shown = [main, *(path for path in measures if path != main and path.rpartition("/")[0] == beside)]
            cells = [f"{path.rpartition('/')[2]} {_cell(measures[path])}" for path in shown[:_MOST_MEASURES]]
            lines.append(f"  {name}, {part} ({measures[main]['seeds']} seeds): {', '.join(cells)}")
    return lines


def _cell(measure: Mapping[str, Any]) -> str:
    deviation = measure["deviation"]
    return f"{measure['mean']:,.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")
