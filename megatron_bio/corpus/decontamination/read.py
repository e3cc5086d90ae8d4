"""The file of a benchmark → what is in it, whichever the format: that is told by the content, never by the name."""

from collections.abc import Iterable
from pathlib import Path

from megatron_bio.corpus.decontamination.benchmark import Benchmark, BenchmarkFile, BenchmarkItem, shown
from megatron_bio.corpus.decontamination.bioc_xml import is_xml, read_bioc_xml
from megatron_bio.corpus.decontamination.json_formats import is_json, read_json
from megatron_bio.corpus.decontamination.text_formats import (
    is_iob,
    is_pmid_list,
    is_pubtator,
    is_table,
    read_iob,
    read_pmid_list,
    read_pubtator,
    read_table,
)
from megatron_bio.corpus.errors import CorpusError, DamagedFileError

UNDERSTOOD = (
    "a list of PMIDs, one a line or in JSON; a table with the PMID in its first column (ChemProt); PubTator (BC5CDR, "
    "NCBI-disease); IOB or CoNLL, a token and its tag a line; BioC as XML or JSON; BioASQ, SQuAD and PubMedQA JSON; MedQA, "
    "MedMCQA and other JSON or JSONL with texts or PMIDs under keys such as 'text', 'question', 'pmid'"
)


def read_benchmark(path: Path) -> Benchmark:
    """All items of a file: plain, gzip, xz or zstd.

    Raises DamagedFileError for a file that is damaged, and CorpusError for one that is in no known format or without
    any item: to go on without a benchmark would leave it in the corpus unnoticed.
    """
    file = BenchmarkFile(path)
    name, found = _read(file)
    items = tuple(item for item in found if item.pmids or any(item.whole) or any(item.texts))
    if not items:
        raise DamagedFileError(
            path,
            "empty benchmark",
            f"expected the items of a benchmark ({name}), found none. Leave the file out or get it anew.",
        )
    return Benchmark(name=file.name, format=name, sha256=file.sha256, items=items)


def _read(file: BenchmarkFile) -> tuple[str, Iterable[BenchmarkItem]]:
    first = next((line.strip() for _, line in file.lines() if line and not _is_comment(line)), "")
    if is_iob(first):
        return "IOB", read_iob(file)
    if is_json(first):
        return read_json(file)
    if is_xml(first):
        return "BioC XML", read_bioc_xml(file)
    if is_pubtator(first):
        return "PubTator", read_pubtator(file)
    if is_pmid_list(first):
        return "PMID list", read_pmid_list(file)
    if is_table(first):
        return "table with PMIDs", read_table(file)
    if not first:
        return "comments only", ()
    raise CorpusError(
        f"{file.path}: expected a benchmark that is {UNDERSTOOD}; found a file that starts with {shown(first)}. Convert "
        "it to JSONL with the key 'text' or 'pmid', or give a list of its PMIDs."
    )


def _is_comment(line: str) -> bool:
    return line.startswith("#") and not line.startswith("###MEDLINE:") and "\t" not in line
