"""The readers of The Pile and of texts, and the counting, against the loop that people write: json.loads on every line.

Real texts are repeated into a file as The Pile's own writer makes them, one sixth of the documents under PubMed's subsets. The
loop reads, selects and writes the same documents, compressed as ours are. For counting it adds up words.
"""

import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

CONTENT_BYTES = 400_000_000
SUBSETS = ("PubMed Central", "Pile-CC", "Github", "ArXiv", "OpenWebText2", "FreeLaw")
LOOP = """
import io, json, sys
import zstandard
source, target, subset = sys.argv[1:]
words = 0
with open(source, "rb") as file, open(target, "wb") as out:
    writer = zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(out, closefd=False)
    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    for number, line in enumerate(io.TextIOWrapper(io.BufferedReader(reader, 1 << 20), encoding="utf-8"), 1):
        fields = json.loads(line)
        if subset == "count":
            words += len(fields["text"].split())
            continue
        if subset and fields["meta"]["pile_set_name"] != subset:
            continue
        document = {"id": f"{number}", "title": "", "text": fields["text"], "source": "x", "meta": {}}
        writer.write(json.dumps(document, ensure_ascii=False).encode() + b"\\n")
        words += len(fields["text"].split())
    writer.close()
print(words)
"""


@dataclass(frozen=True)
class Run:
    """CPU seconds (user and system, with all children) and wall seconds of one command."""

    cpu: float
    wall: float


def measure(data: Path, peer_python: Path) -> list[dict[str, object]]:
    """One row for each comparison: name, seconds of the loop and ours, and the first over the second.

    `data` holds abstracts.jsonl.xz and pmc-open.jsonl.xz; `peer_python` is not needed, the loop runs in this Python.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "00.jsonl.zst"
        size = _repeat(data, source)
        about = f"{size / 1e6:.0f} MB"
        rows = []
        for verb, subset in (("pile", SUBSETS[0]), ("text", "")):
            loop = _run(_loop(source, folder / "loop", subset))
            one = _run(_ours("extract", verb, source, folder / "one.jsonl.zst", 1))
            two = _run(_ours("extract", verb, source, folder / "two.jsonl.zst", 2))
            assert (folder / "one.jsonl.zst").read_bytes() == (folder / "two.jsonl.zst").read_bytes()
            rows += [
                _row(f"extract {verb}, {about}: CPU seconds, a json.loads loop / ours", loop.cpu, one.cpu),
                _row(
                    f"extract {verb}, {about}: wall seconds, ours with 1 worker / with 2", one.wall, two.wall
                ),
            ]
        loop = _run(_loop(source, folder / "loop", "count"))
        one = _run(_ours("corpus", "stats", source, folder / "one", 1))
        two = _run(_ours("corpus", "stats", source, folder / "two", 2))
    return [
        *rows,
        _row(f"corpus stats, {about}: CPU seconds, a json.loads loop / ours", loop.cpu, one.cpu),
        _row(f"corpus stats, {about}: wall seconds, ours with 1 worker / with 2", one.wall, two.wall),
    ]


def _row(name: str, reference: float, ours: float) -> dict[str, object]:
    return {
        "name": name,
        "reference": round(reference, 2),
        "ours": round(ours, 2),
        "ratio": round(reference / ours, 2),
    }


def _loop(source: Path, target: Path, subset: str) -> list[str]:
    return [sys.executable, "-c", LOOP, str(source), str(target), subset]


def _ours(group: str, verb: str, source: Path, output: Path, workers: int) -> list[str]:
    command = [sys.executable, "-m", "megatron_bio", group, verb, str(source), "--output", str(output)]
    return [*command, "--workers", str(workers), *(["--picture", "false"] if group == "corpus" else [])]


def _run(command: Sequence[str]) -> Run:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:4]} ended with {process.returncode}")
    return Run(usage.ru_utime + usage.ru_stime, time.monotonic() - started)


def _repeat(folder: Path, target: Path) -> int:
    """Writes `CONTENT_BYTES` of lines and gives their number of bytes."""
    texts = []
    for name in ("abstracts", "pmc-open"):
        with lzma.open(folder / f"{name}.jsonl.xz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    size = number = 0
    compressor = zstandard.ZstdCompressor(level=3, threads=2)
    with target.open("wb") as file, compressor.stream_writer(file, closefd=False) as stream:
        while size < CONTENT_BYTES:
            # 7 and the number of texts have no common factor: long and short ones are mixed.
            text = texts[number * 7 % len(texts)]
            meta = {"pile_set_name": SUBSETS[number % len(SUBSETS)]}
            line = json.dumps({"text": text, "meta": meta}).encode() + b"\n"
            stream.write(line)
            size, number = size + len(line), number + 1
    return size


if __name__ == "__main__":
    for row in measure(Path(sys.argv[1]), Path(sys.executable)):
        print(row)
