"""Memory of a whole extraction, over all its processes."""

import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Make = Callable[..., str]
FILES, REPETITIONS, MOST_MEGABYTES = 4, 30, 500
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read in /proc"),
]


def test_two_workers_need_no_more_than_a_few_records(tmp_path: Path, citation: Make) -> None:
    """300 MB of XML in files of 75 MB each; with 1 GB, as measured for docs/corpus/pubmed.md, it is the same."""
    words = " ".join(f"word{number}" for number in range(300))
    for file in range(FILES):
        with gzip.open(tmp_path / f"{file}.xml.gz", "wt", compresslevel=1) as xml:
            xml.write("<PubmedArticleSet>")
            for repetition in range(REPETITIONS):
                first = (file * REPETITIONS + repetition) * 1000
                records = (
                    citation(first + n, abstract=f"<AbstractText>{words}</AbstractText>") for n in range(1000)
                )
                xml.write("\n".join(records))
            xml.write("</PubmedArticleSet>")
    command = [
        sys.executable,
        "-m",
        "megatron_bio",
        "extract",
        "pubmed",
        f"{tmp_path}/*.xml.gz",
        "--workers",
        "2",
    ]
    output = tmp_path / "documents.jsonl.zst"
    with subprocess.Popen(
        [*command, "--output", str(output)], cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL
    ) as process:
        most = 0
        while process.poll() is None:
            most = max(most, megabytes_of_tree(process.pid))
            time.sleep(0.02)
    assert process.returncode == 0 and output.stat().st_size > 0
    assert 0 < most < MOST_MEGABYTES, f"{most} MB"


def megabytes_of_tree(root: int) -> int:
    """Memory of a process and of all that descend from it, pages that they share counted once."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    tree, fresh = {root}, {root}
    while fresh:
        fresh = {process for process, parent in parents.items() if parent in fresh} - tree
        tree |= fresh
    total = 0
    for process in tree:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024
