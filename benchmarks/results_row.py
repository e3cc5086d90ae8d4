"""Rows of results.csv, with what every measurement needs beside it: date, commit, machine."""

import csv
import os
import platform
import subprocess
from datetime import date
from pathlib import Path

FILE = Path(__file__).resolve().parent / "results.csv"


def append_result(benchmark: str, claim: str, result: str, seconds: float) -> None:
    """Append one measurement of this checkout on this machine; `seconds` is how long it took."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True, cwd=FILE.parent
    ).stdout.strip()
    machine = f"{os.cpu_count()} cores {platform.machine()}"
    with FILE.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(
            [date.today().isoformat(), commit, machine, benchmark, claim, result, round(seconds)]
        )
