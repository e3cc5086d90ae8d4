"""Benchmarks in lines: PMID lists, tables that start with a PMID, PubTator, and IOB (CoNLL) with one token a line."""

import re
from collections.abc import Iterator

from megatron_bio.corpus.decontamination.benchmark import BenchmarkFile, BenchmarkItem, shown
from megatron_bio.corpus.identifiers import as_pmid

WORDS_OF_A_TEXT = 8
_PMID_HEAD = re.compile(r"pmids?|pubmed[ _]?ids?", re.IGNORECASE)
_PUBTATOR_TEXT = re.compile(r"([1-9][0-9]{0,8})\|([ta])\|(.*)")
_PUBTATOR_MARK = re.compile(r"([1-9][0-9]{0,8})\t.*")
_TABLE_HEAD = re.compile(r"(?:pmid|pubmed[ _]?id|#pmid)\t.*", re.IGNORECASE)
_TABLE_ROW = re.compile(r"([1-9][0-9]{0,8})\t(.*)")
_TAG = re.compile(r"O|[BIESLMU](?:-\S+)?")
_DOCUMENT_MARKS = ("-DOCSTART-", "###MEDLINE:")


def is_pmid_list(line: str) -> bool:
    """`12345678`, `PMID: 12345678`, an address of PubMed; or the head of such a list, `pmid`."""
    entry = _entry(line)
    return as_pmid(entry) is not None or _PMID_HEAD.fullmatch(entry) is not None


def read_pmid_list(file: BenchmarkFile) -> Iterator[BenchmarkItem]:
    """One PMID a line, perhaps under a head; what follows a # is a comment."""
    is_first = True
    for number, line in file.lines():
        entry = _entry(line)
        if not entry:
            continue
        pmid = as_pmid(entry)
        if pmid is not None:
            yield BenchmarkItem(name=f"PMID {pmid}", pmids=(pmid,))
        elif not (is_first and _PMID_HEAD.fullmatch(entry)):
            raise file.damaged(f"line {number}", f"a PMID, found {shown(entry)}")
        is_first = False


def _entry(line: str) -> str:
    """Without comment and quotation marks, which tables written by programs have."""
    return line.partition("#")[0].strip().strip("\"'")


def is_table(line: str) -> bool:
    """A PMID, a tab and more; or the head of such a table."""
    return _TABLE_ROW.fullmatch(line) is not None or _TABLE_HEAD.fullmatch(line) is not None


def read_table(file: BenchmarkFile) -> Iterator[BenchmarkItem]:
    """ChemProt's files: the PMID in the first column. Columns of 8 words and more are texts, others are not."""
    texts: dict[int, list[str]] = {}
    for number, line in file.lines():
        if not line or (not texts and _TABLE_HEAD.fullmatch(line)):
            continue
        match = _TABLE_ROW.fullmatch(line)
        if match is None:
            raise file.damaged(f"line {number}", f"a PMID, a tab and more columns, found {shown(line)}")
        columns = (column for column in match[2].split("\t") if len(column.split()) >= WORDS_OF_A_TEXT)
        texts.setdefault(int(match[1]), []).extend(columns)
    for pmid, columns_of_item in texts.items():
        yield BenchmarkItem(name=f"PMID {pmid}", pmids=(pmid,), whole=tuple(columns_of_item))


def is_pubtator(line: str) -> bool:
    """`12345678|t|Title`."""
    return _PUBTATOR_TEXT.fullmatch(line) is not None


def read_pubtator(file: BenchmarkFile) -> Iterator[BenchmarkItem]:
    """BC5CDR and NCBI-disease as published: `PMID|t|title`, `PMID|a|abstract`, then lines of annotations."""
    parts: dict[int, dict[str, str]] = {}
    for number, line in file.lines():
        if not line:
            continue
        text = _PUBTATOR_TEXT.fullmatch(line)
        mark = text or _PUBTATOR_MARK.fullmatch(line)
        if mark is None or (text is None and int(mark[1]) not in parts):
            raise file.damaged(
                f"line {number}",
                f"PMID|t|title, PMID|a|abstract or an annotation of a text before it, found {shown(line)}",
            )
        if text is not None:
            parts.setdefault(int(text[1]), {})[text[2]] = text[3]
    for pmid, texts in parts.items():
        yield BenchmarkItem(
            name=f"PMID {pmid}", pmids=(pmid,), whole=(texts.get("t", ""),), texts=(texts.get("a", ""),)
        )


def is_iob(line: str) -> bool:
    """A token and its tag."""
    return line.startswith(_DOCUMENT_MARKS) or _token(line) is not None


def read_iob(file: BenchmarkFile) -> Iterator[BenchmarkItem]:
    """Tokens with tags, blank lines between sentences. An item is a document where the file marks them, else a sentence."""
    documents = any(line.startswith(_DOCUMENT_MARKS) for _, line in file.lines())
    kind = "document" if documents else "sentence"
    tokens: list[str] = []
    start = 0
    for number, line in file.lines():
        mark = line.startswith(_DOCUMENT_MARKS)
        if tokens and (mark or not (line or documents)):
            yield BenchmarkItem(name=f"{kind} at line {start}", whole=(" ".join(tokens),))
            tokens = []
        if mark or not line:
            continue
        token = _token(line)
        if token is None:
            raise file.damaged(f"line {number}", f"a token and an IOB tag, found {shown(line)}")
        start = start if tokens else number
        tokens.append(token)
    if tokens:
        yield BenchmarkItem(name=f"{kind} at line {start}", whole=(" ".join(tokens),))


def _token(line: str) -> str | None:
    """The first column of a line whose last column is a tag."""
    columns = line.rstrip("\t ").split("\t") if "\t" in line else line.split()
    return columns[0] if len(columns) > 1 and _TAG.fullmatch(columns[-1]) else None
