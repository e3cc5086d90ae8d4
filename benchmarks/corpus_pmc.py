"""PMC extraction against pubmed_parser on the same articles: CPU seconds of the whole command, and wall time with two workers.

The real articles of a folder of packages are repeated with new PMCIDs into one package, which this library reads as it is;
pubmed_parser, in a Python of its own, reads the same bytes as unpacked files, where its time is not spent on gzip.

    python benchmarks/corpus_pmc.py DATA PEER_PYTHON       # DATA holds oa_comm-sample.tar.gz
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ARTICLES = 6000
PEER = """
import sys, warnings
from pathlib import Path
import pubmed_parser
warnings.simplefilter("ignore")
read = failed = 0
for path in sorted(Path(sys.argv[1]).rglob("*.nxml")):
    try:
        pubmed_parser.parse_pubmed_xml(str(path))
        pubmed_parser.parse_pubmed_paragraph(str(path), all_paragraph=True)
        read += 1
    except KeyError:
        failed += 1
print(f"{read} read, {failed} failed")
"""


@dataclass(frozen=True)
class Run:
    """CPU seconds (user and system, with all children) and wall seconds of one command."""

    cpu: float
    wall: float


def measure(data: Path, peer_python: Path, articles: int = ARTICLES) -> list[dict[str, object]]:
    """One row for each comparison: name, our and the peer's seconds, and the peer's over ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package, unpacked = folder / "package.tar.gz", folder / "unpacked"
        size = _repeat(data / "oa_comm-sample.tar.gz", package, unpacked, articles)
        peer = _run([str(peer_python), "-c", PEER, str(unpacked)])
        one = _run(_extract(package, folder / "one.jsonl.zst", 1))
        two = _run(_extract(package, folder / "two.jsonl.zst", 2))
        assert (folder / "one.jsonl.zst").read_bytes() == (folder / "two.jsonl.zst").read_bytes()
    about = f"{articles} PMC articles, {size / 1e6:.0f} MB of XML"
    return [
        _row(f"{about}: CPU seconds, pubmed_parser / ours", peer.cpu, one.cpu),
        _row(f"{about}: wall seconds, ours with 1 worker / with 2", one.wall, two.wall),
        _row(f"{about}: CPU seconds, ours with 1 worker / with 2", one.cpu, two.cpu),
    ]


def _row(name: str, reference: float, ours: float) -> dict[str, object]:
    return {
        "name": name,
        "reference": round(reference, 2),
        "ours": round(ours, 2),
        "ratio": round(reference / ours, 2),
    }


def _extract(package: Path, output: Path, workers: int) -> list[str]:
    verb = [sys.executable, "-m", "megatron_bio", "extract", "pmc", str(package)]
    return [*verb, "--output", str(output), "--workers", str(workers)]


def _run(command: Sequence[str]) -> Run:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return Run(usage.ru_utime + usage.ru_stime, time.monotonic() - started)


def _repeat(source: Path, package: Path, unpacked: Path, articles: int) -> int:
    size = 0
    with tarfile.open(package, "w:gz", compresslevel=6) as archive:
        for number, content in enumerate(_articles(source, articles), start=10_000_000):
            name = f"PMC{number}/PMC{number}.nxml"
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
            path = unpacked / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            size += len(content)
    return size


def _articles(source: Path, articles: int) -> Iterator[bytes]:
    """The articles again and again, each with a PMCID that no other has."""
    with tarfile.open(source) as archive:
        contents = [
            (Path(member.name).stem.removeprefix("PMC").encode(), archive.extractfile(member).read())
            for member in archive
            if member.isfile()
        ]
    for index in range(articles):
        number, content = contents[index % len(contents)]
        yield content.replace(b">" + number + b"</article-id>", b">%d</article-id>" % (10_000_000 + index))


if __name__ == "__main__":
    for row in measure(Path(sys.argv[1]), Path(sys.argv[2])):
        print(row)
