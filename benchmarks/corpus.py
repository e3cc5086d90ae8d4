"""All claims about the speed of the corpus stage, each against a peer on the same bytes in the same run.

    python benchmarks/corpus.py --data DATA --peer_python PEER/bin/python [--only readers] [--append]

DATA holds the folders pubmed, pmc and text of real samples; PEER is a Python that has pubmed_parser. Times are CPU seconds of whole
commands, start included, unless a row says wall. Prints a table; with --append also adds its rows to results.csv.
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from results_row import append_result

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
    for row in rows:
        append_result(
            "corpus", row["name"], f"{row['ratio']} times ({row['reference']} / {row['ours']} s)", row["ours"]
        )


if __name__ == "__main__":
    main()
