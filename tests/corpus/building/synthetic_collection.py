"""Judges a collection of made-up numbers as large as asked for and prints its peak of memory that is not file cache.

`python synthetic_collection.py FOLDER DOCUMENTS PARTS`; the parts share what need not differ, to spare the disk. One in ten
documents has the text of one in another part, one in ten is alike to one, one in ten has half of its sentences from one.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.building.collection import Collection
from megatron_bio.corpus.building.deduplicate import Deduplication
from megatron_bio.corpus.building.signatures import band_count
from megatron_bio.corpus.building.tables import (
    ABSTRACT,
    BANDS,
    DOCUMENT,
    PERMUTATIONS,
    PMCID,
    PMID,
    RECORD,
    SENTENCES,
    SIGNATURES,
    TEXT,
    Keys,
    keys_path,
    write_array,
    write_keys,
    write_signatures,
)
from megatron_bio.corpus.building.verdicts import REASONS

SENTENCES_PER_DOCUMENT = 8
SIMILARITY = 0.97


def anonymous_bytes() -> int:
    """What this process has in memory without mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon")


def write_parts(folder: Path, size: int, parts: int) -> list[Path]:
    """Parts of `size` documents; document n of each of a pair of parts is a copy for some n."""
    paths = [folder / f"{number:06d}" for number in range(parts)]
    numbers = np.arange(size)
    alike = np.random.default_rng(0).integers(0, 2**32, (size, PERMUTATIONS), np.uint32)
    for number, path in enumerate(paths):
        own, pair = np.random.default_rng(1_000 + number), np.random.default_rng(number // 2)

        def keys(kinds: slice, own: Any = own, pair: Any = pair) -> Any:
            values, shared = own.integers(0, 2**64, size, np.uint64), pair.integers(0, 2**64, size, np.uint64)
            values[kinds] = shared[kinds]
            return values

        table = np.zeros(size, DOCUMENT)
        table["words"] = table["plain_words"] = 20 * SENTENCES_PER_DOCUMENT
        table["line_bytes"] = 1_000
        write_array(path / "documents.npy", table)
        write_keys(keys_path(path, TEXT), [Keys.sorted(keys(slice(0, None, 10)), numbers)])
        for kind in (RECORD, PMID, PMCID, ABSTRACT):
            write_keys(keys_path(path, kind), [Keys.sorted([], [])])
        sentences = np.stack(
            [keys(slice(2, None, 10) if index % 2 else slice(0)) for index in range(SENTENCES_PER_DOCUMENT)],
            axis=1,
        )
        write_keys(
            keys_path(path, SENTENCES),
            [Keys.sorted(sentences.reshape(-1), np.repeat(numbers, SENTENCES_PER_DOCUMENT), 20)],
        )
        bands = [Keys.sorted(keys(slice(1, None, 10)), numbers) for _ in range(band_count(SIMILARITY))]
        write_keys(keys_path(path, BANDS), bands)
        if number:
            os.link(paths[0] / SIGNATURES, path / SIGNATURES)
        else:
            write_signatures(path / SIGNATURES, alike)
    return paths


def main(folder: Path, documents: int, parts: int) -> None:
    """Prints the counts by reason, the peak in bytes and the seconds."""
    size = documents // parts
    paths = write_parts(folder / "parts", size, parts)
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            peak = max(peak, anonymous_bytes())

    base = anonymous_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.monotonic()
    collection = Collection.of(paths, [size] * parts)
    options = BuildCorpusOptions(inputs=["-"], output=folder, near_duplicate_similarity=SIMILARITY)
    deduplication = Deduplication(
        collection=collection,
        folder=folder,
        made_from="numbers",
        options=options,
        article=collection.column("article"),
    )
    verdicts = deduplication.verdicts()
    seconds = time.monotonic() - started
    ended.set()
    watcher.join()
    counts = np.bincount(verdicts.reason, minlength=len(REASONS)).tolist()
    print(*counts, peak - base, round(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
