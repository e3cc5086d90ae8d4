"""All claims about the speed of the corpus stage, each against a peer on the same bytes in the same run.

    python benchmarks/corpus.py --data DATA --peer_python PEER/bin/python [--only readers] [--append]

DATA holds the folders pubmed, pmc and text of real samples; PEER is a Python that has pubmed_parser. Times are CPU seconds of whole
commands, start included, unless a row says wall. Prints a table; with --append also adds its rows to results.csv.
"""

import argparse
import csv
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {
    "pubmed": ("corpus_pubmed", "pubmed"),
    "pmc": ("corpus_pmc", "pmc"),
    "readers": ("corpus_readers", "text"),
}
"""Name to the module whose `measure` gives its rows, and the folder of DATA that it takes."""
Row = dict[str, object]
Measure = Callable[[Path, Path], list[Row]]


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--peer_python", type=Path, required=True, help="Python with pubmed_parser")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="measure this part alone")
    parser.add_argument("--append", action="store_true", help="add the rows to results.csv")
    options = parser.parse_args()
    rows: list[Row] = []
    for part in options.only or PARTS:
        module, folder = PARTS[part]
        measure: Measure = import_module(module).measure
        for row in measure(options.data / folder, options.peer_python):
            print(
                f"{row['name']:<90} {row['reference']:>10} {row['ours']:>10} {row['ratio']:>8}x", flush=True
            )
            rows.append(row)
    if options.append:
        append(rows)


def append(rows: list[Row]) -> None:
    """Add the rows to results.csv with date, commit and machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True, cwd=HERE
    ).stdout.strip()
    machine = f"{os.cpu_count()} cores {platform.machine()}"
    with (HERE / "results.csv").open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in rows:
            result = f"{row['ratio']} times ({row['reference']} / {row['ours']} s)"
            writer.writerow(
                [date.today().isoformat(), commit, machine, "corpus", row["name"], result, row["ours"]]
            )


if __name__ == "__main__":
    main()
