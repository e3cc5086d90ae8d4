"""The index of all benchmarks, and the rule by which a document is contaminated.

A document is contaminated when its PMID is one of a benchmark, or when its title and text hold any run of 13 words of a
benchmark's item, as in GPT-3 (Brown et al. 2020, appendix C); of an item that is shorter, all of its words, from 8 on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from megatron_bio.corpus.decontamination.benchmark import Benchmark, BenchmarkItem
from megatron_bio.corpus.decontamination.ngrams import RunIndexBuilder
from megatron_bio.corpus.decontamination.read import read_benchmark
from megatron_bio.corpus.decontamination.words import readings
from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.identifiers import pmid_of
from megatron_bio.corpus.work_folder import fingerprint

RULE: Final = 2
"""Raise it with every change of what is found, so that no result of an earlier rule is taken up."""
SHORTEST_ITEM: Final = 8
SHORTEST_RUN: Final = 4
LONGEST_NAME: Final = 100
BY_PMID: Final = "PMID of a benchmark"
BY_TEXT: Final = "text of a benchmark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Why a document is contaminated: `benchmark` is the file with its folder, `item` the place in it."""

    reason: str
    benchmark: str
    item: str


class ContaminationIndex:
    """What is in the benchmarks; it travels to other processes by pickle, and answers the same in all of them."""

    def __init__(self, benchmarks: Sequence[Benchmark], ngram: int) -> None:
        """Use `from_files`."""
        self._ngram = ngram
        self._benchmarks = [_printable(benchmark.name) for benchmark in benchmarks]
        self._items: list[tuple[int, str]] = []
        self._pmids: dict[int, int] = {}
        self._summary: list[dict[str, object]] = []
        builder = RunIndexBuilder(min(SHORTEST_ITEM, ngram), ngram)
        for number, benchmark in enumerate(benchmarks):
            not_findable = 0
            for item in benchmark.items:
                owner = len(self._items)
                self._items.append((number, _printable(item.name)))
                for pmid in item.pmids:
                    self._pmids.setdefault(pmid, owner)
                not_findable += not (self._add(builder, item, owner) or item.pmids)
            if not_findable == len(benchmark.items):
                raise CorpusError(
                    f"{benchmark.name}: expected items with a PMID or with at least {SHORTEST_ITEM} words that say something, "
                    f"found none among {not_findable:,}. Nothing could be found by this file: leave it out or give its PMIDs."
                )
            self._summary.append(
                {
                    "name": self._benchmarks[number],
                    "format": benchmark.format,
                    "sha256": benchmark.sha256,
                    "items": len(benchmark.items),
                    "pmids": len({pmid for item in benchmark.items for pmid in item.pmids}),
                    "items_not_findable": not_findable,
                }
            )
        self._runs = builder.index()
        content = [[benchmark.name, benchmark.sha256] for benchmark in benchmarks]
        self.fingerprint: str = fingerprint({"rule": RULE, "ngram": ngram, "files": content})

    @classmethod
    def from_files(cls, paths: Sequence[Path], ngram: int = 13) -> Self:
        """The index of these files, plain or compressed, in any of the formats of `read_benchmark`.

        Raises DamagedFileError for a file that is damaged or without items, CorpusError for one in no known format.
        """
        if ngram < SHORTEST_RUN:
            raise CorpusError(f"expected runs of {SHORTEST_RUN} words or more to compare by, found {ngram}.")
        return cls([read_benchmark(path) for path in paths], ngram)

    def summary(self) -> list[dict[str, object]]:
        """For each file: name, format, sha256 of its content, items, pmids, items_not_findable.

        The last are those that have neither a PMID nor enough words to be found by.
        """
        return [dict(entry) for entry in self._summary]

    def match(self, document: Document) -> Match | None:
        """Why the document is contaminated, by its PMID or else by the first run in its text; None if it is not."""
        pmid = pmid_of(document)
        if pmid is not None and pmid in self._pmids:
            return self._match(BY_PMID, self._pmids[pmid])
        for words in readings(f"{document.title}\n{document.text}"):
            owner = self._runs.find(words)
            if owner is not None:
                return self._match(BY_TEXT, owner)
        return None

    def _match(self, reason: str, owner: int) -> Match:
        benchmark, item = self._items[owner]
        return Match(reason=reason, benchmark=self._benchmarks[benchmark], item=item)

    def _add(self, builder: RunIndexBuilder, item: BenchmarkItem, owner: int) -> bool:
        """Whether the item has enough words to be found by."""
        found = False
        for text in item.whole:
            for words in readings(text):
                found |= builder.add(words, owner)
        for text in item.texts:
            for words in readings(text):
                if len(words) >= self._ngram:
                    found |= builder.add(words, owner)
        return found


def _printable(name: str) -> str:
    """A name from a file may hold anything; what is here goes into messages and reports."""
    return name[:LONGEST_NAME].encode("utf-8", "backslashreplace").decode()
