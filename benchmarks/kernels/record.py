"""What run.sh measured, as rows for results.csv: one for each model and one for each operation.

    python benchmarks/kernels/record.py FOLDER SECONDS

FOLDER holds the tables of run.sh; the rows go to FOLDER/results.csv, in the columns of benchmarks/results.csv.
"""

import csv
import statistics
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

COLUMNS = ("date", "commit", "machine", "benchmark", "claim", "result", "seconds")
LEAST_OF_COPY = 0.85


def rows_of(folder: Path, seconds: int) -> Iterator[tuple[object, ...]]:
    """Give the rows; the tables that a run did not get to give none."""
    noted = (folder / "machine.txt").read_text(encoding="utf-8")
    begin = date.today().isoformat(), *commit_and_machine(noted)
    for claim, result in (*steps(read(folder / "steps.csv")), *operations(read(folder / "operations.csv"))):
        yield *begin, "kernels/run.sh", claim, result, seconds


def commit_and_machine(noted: str) -> tuple[str, str]:
    """Return the commit, and GPU, driver and torch, from what run.sh noted; of several GPUs the one that torch took."""
    lines = noted.splitlines()
    commit, torch = (
        next((line for line in lines if line.startswith(word)), f"{word} not known")
        for word in ("commit", "torch")
    )
    torch, _, device = torch.partition(" device ")
    gpu = next((line for line in lines if line.startswith(f"{device},")), f"{device}, driver not known")
    return commit.removeprefix("commit "), f"{gpu}; {torch}"


def read(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table, by the names of its columns, without those that were cut off half way."""
    if not table.exists():
        return []
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = list(csv.reader(line for line in lines if line.endswith("\n")))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if len(row) == len(rows[0])]


def grouped(table: list[dict[str, str]], column: str) -> dict[str, list[dict[str, str]]]:
    """Return the rows by what stands in a column, in the order of the table."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in table:
        groups.setdefault(row[column], []).append(row)
    return groups


def steps(table: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Give claim and result for each model: every way that it was trained."""
    for model, ways in grouped(table, "model").items():
        aim = next((row["aim"] for row in ways if row["aim"]), "none")
        yield f"{model}: aim {aim} of the peak at real tokens", "; ".join(map(_way, ways))


def _way(row: dict[str, str]) -> str:
    compiled = ", compiled" if row["compiled"] == "True" else ""
    name = f"{row['attention']}, attention dropout {row['attention dropout']}, kernels {row['kernels']}{compiled}"
    if row["fill"] == "out of memory":
        return f"{name}: out of memory with {row['rows']} rows"
    used = row["utilisation"] + " of the peak" * (row["utilisation"] != "peak not known")
    return (
        f"{name}: {used}, {row['tokens per second']} tokens/s at {row['executed FLOP per token']} FLOP, "
        f"{row['bytes per token']} bytes per token"
    )


def operations(table: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Give claim and result for each operation: bandwidth and times of all candidates, medians over shapes of ratios."""
    for operation, rows in grouped(table, "operation").items():
        times = {(row["candidate"], row["shape"], row["pass"]): row for row in rows}
        passes = list(dict.fromkeys(way for _, _, way in times))
        yield (
            f"{operation}: at least {LEAST_OF_COPY} of the copy's bandwidth, faster than torch and torch.compile",
            "; ".join(_comparison(times, way) for way in passes),
        )


def _comparison(times: dict[tuple[str, str, str], dict[str, str]], way: str) -> str:
    shapes = [shape for candidate, shape, of in times if (candidate, of) == ("kernel", way)]
    if not shapes:
        return f"{way}: kernel not run"
    least = min(float(times["kernel", shape, way]["of copy"]) for shape in shapes)
    words = [f"{way}: {least:.2f} of the copy at least ({_shapes(len(shapes))})"]
    for other in dict.fromkeys(
        candidate for candidate, _, of in times if of == way and candidate != "kernel"
    ):
        ratios = [
            _time(times, other, shape, way) / _time(times, "kernel", shape, way)
            for shape in shapes
            if (other, shape, way) in times
        ]
        if ratios:
            part = f" ({_shapes(len(ratios))})" if len(ratios) < len(shapes) else ""
            words.append(f"{statistics.median(ratios):.2f} times as fast as {other}{part}")
    return ", ".join(words)


def _shapes(count: int) -> str:
    return f"{count} shape{'s' * (count > 1)}"


def _time(times: dict[tuple[str, str, str], dict[str, str]], candidate: str, shape: str, way: str) -> float:
    return float(times[candidate, shape, way]["microseconds"])


def main(folder: Path, seconds: int) -> None:
    """Write and print the rows."""
    rows = list(rows_of(folder, seconds))
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    for row in rows:
        print(*row[4:6], sep=": ")
    if not rows:
        print("NOT RUN: nothing was measured on a GPU")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
