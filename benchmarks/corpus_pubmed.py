"""Is `extract pubmed` six times pubmed_parser for the text, 3.5 times for all fields, and 1.8 times faster with two workers?

    python benchmarks/corpus_pubmed.py --data FOLDER --peer_python PATH [--megabytes 3000]

FOLDER has real files of citations (`*.xml.gz`); they are repeated under new PMIDs, so that all are kept, in twelve files. PATH is
the Python of an environment with pubmed_parser, whose `parse_medline_xml` reads the same files. Both sides are whole commands, from
the start of Python on gzip to the end; ours also settles versions and writes the documents. CPU seconds are user and system
time of all processes. Every round runs all commands one after the other, and ratios are taken within a round; the median counts.
"""

import argparse
import gzip
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES, ROUNDS, MEGABYTES = 12, 2, 3000
HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet SYSTEM "pubmed.dtd">\n<PubmedArticleSet>\n'
END = b"</PubmedArticleSet>\n"
RECORD = re.compile(rb"<PubmedArticle>.*?</PubmedArticle>", re.DOTALL)
NUMBER = re.compile(rb'(<PMID Version="\d+">)\d+(</PMID>)')
PEER = """
import sys, pubmed_parser
print(sum(1 for path in sys.argv[1:] for _ in pubmed_parser.parse_medline_xml(path)))
"""
CLAIMS = {("text", 1): 6.0, ("all", 1): 3.5}
LEAST_SPEEDUP = 1.8


@dataclass(frozen=True)
class Row:
    """One command: seconds of the medians, and the ratios to the peer and to one worker."""

    name: str
    cpu_seconds: float
    wall_seconds: float
    cpu_ratio: float
    """CPU seconds of the peer / of this command."""
    wall_speedup: float
    """Wall seconds of the same command with one worker / of this one."""
    claim: str
    """What it must reach, and whether it did; empty where nothing was promised."""


def measure(data: Path, peer_python: Path, megabytes: int = MEGABYTES) -> list[dict[str, object]]:
    """The rows for `corpus.py`: name, seconds of the reference and of ours, and the median of their ratios."""
    peer, *ours = compare(data, peer_python, megabytes)
    about = f"{megabytes} MB of PubMed XML"
    rows: list[dict[str, object]] = []
    for one, two in zip(ours[::2], ours[1::2], strict=True):
        for name, reference, seconds, ratio in (
            (f"{one.name}: CPU, pubmed_parser / ours", peer.cpu_seconds, one.cpu_seconds, one.cpu_ratio),
            (f"{two.name}: wall, 1 worker / 2", one.wall_seconds, two.wall_seconds, two.wall_speedup),
        ):
            rows.append(
                {
                    "name": f"{about}, {name}",
                    "reference": round(reference, 2),
                    "ours": round(seconds, 2),
                    "ratio": round(ratio, 2),
                }
            )
    return rows


def compare(data: Path, peer_python: Path, megabytes: int) -> list[Row]:
    """Rows for the peer and for both choices of fields with one and two workers."""
    with tempfile.TemporaryDirectory() as folder:
        files = repeat(data, Path(folder), megabytes)
        commands = {("pubmed_parser", 1): [str(peer_python), "-c", PEER, *map(str, files)]}
        for fields in ("text", "all"):
            for workers in (1, 2):
                output = f"{folder}/{fields}-{workers}.jsonl.zst"
                words = ["extract", "pubmed", *map(str, files), "--output", output, "--fields", fields]
                commands[fields, workers] = [
                    sys.executable,
                    "-m",
                    "megatron_bio",
                    *words,
                    "--workers",
                    str(workers),
                ]
        rounds = [{name: run(command) for name, command in commands.items()} for _ in range(ROUNDS)]
    return [row(name, rounds) for name in commands]


def repeat(data: Path, folder: Path, megabytes: int) -> list[Path]:
    """Writes the citations of `data` into FILES gzip files of `megabytes` of XML together."""
    contents = (
        gzip.decompress(path.read_bytes()) for path in sorted(data.glob("*.xml.gz")) if "odd" not in path.name
    )
    records = [record for content in contents for record in RECORD.findall(content)]
    if not records:
        sys.exit(f"{data}: expected files *.xml.gz with PubmedArticle elements, found none")
    number = 0
    paths = []
    for file in range(FILES):
        paths.append(folder / f"pubmed-{file}.xml.gz")
        size = 0
        with gzip.open(paths[-1], "wb", compresslevel=6) as xml:
            xml.write(HEAD)
            while size < megabytes * 1e6 / FILES:
                record = NUMBER.sub(rb"\g<1>%d\2" % (number + 1), records[number % len(records)], count=1)
                size += xml.write(record + b"\n")
                number += 1
            xml.write(END)
    return paths


def run(command: Sequence[str]) -> tuple[float, float]:
    """CPU seconds, of it and all processes that it waited for, and wall seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command[:6])} …: expected success, found status {status}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


def row(name: tuple[str, int], rounds: Sequence[dict[tuple[str, int], tuple[float, float]]]) -> Row:
    """The medians over the rounds."""
    cpu_ratio = statistics.median(found["pubmed_parser", 1][0] / found[name][0] for found in rounds)
    speedup = statistics.median(found[name[0], 1][1] / found[name][1] for found in rounds)
    claim = ""
    if name in CLAIMS:
        claim = f"CPU ratio ≥ {CLAIMS[name]:g}: {'met' if cpu_ratio >= CLAIMS[name] else 'MISSED'}"
    elif name[1] > 1:
        claim = f"speedup ≥ {LEAST_SPEEDUP:g}: {'met' if speedup >= LEAST_SPEEDUP else 'MISSED'}"
    return Row(
        name=name[0] if name[0] == "pubmed_parser" else f"--fields {name[0]} --workers {name[1]}",
        cpu_seconds=statistics.median(found[name][0] for found in rounds),
        wall_seconds=statistics.median(found[name][1] for found in rounds),
        cpu_ratio=cpu_ratio,
        wall_speedup=speedup,
        claim=claim,
    )


def table(rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    lines = [f"{'command':26}{'CPU s':>8}{'wall s':>8}{'CPU ratio':>11}{'speedup':>9}"]
    lines += [
        f"{row.name:26}{row.cpu_seconds:8.2f}{row.wall_seconds:8.2f}{row.cpu_ratio:11.2f}{row.wall_speedup:9.2f}  {row.claim}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer_python", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    options = parser.parse_args()
    rows = compare(options.data, options.peer_python, options.megabytes)
    print(table(rows))
    if any("MISSED" in row.claim for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
