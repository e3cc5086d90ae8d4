"""The verb `extract pubmed`: PubMed XML files → documents."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.config.extract import ExtractPubmedOptions
from megatron_bio.corpus.document import document_line
from megatron_bio.corpus.extraction.records import Kept, LeftOut, Record, Withdrawn
from megatron_bio.corpus.extraction.run import extract
from megatron_bio.corpus.inputs import expand_inputs
from megatron_bio.corpus.pubmed.citation import SOURCE, Citation, Deletion, UnusableRecord, document_parts
from megatron_bio.corpus.pubmed.read import read_pubmed
from megatron_bio.corpus.work_folder import file_identity

_ISSUED = re.compile(r"(?:pubmed|medline)([0-9]{2})n([0-9]{4,})\.xml(?:\.[a-z0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class PubmedFile:
    """One file of citations, as a piece of input."""

    path: Path
    number: int
    all_fields: bool
    other_abstracts: bool
    minimum_words: int
    require_abstract: bool

    @property
    def name(self) -> str:
        """As `Piece`."""
        return f"{self.number:06d}"

    @property
    def place(self) -> str:
        """As `Piece`."""
        return str(self.path)

    @property
    def identity(self) -> object:
        """As `Piece`."""
        return file_identity(self.path)

    @property
    def progress_bytes(self) -> int:
        """As `Piece`."""
        return self.path.stat().st_size

    def records(self) -> Iterator[Record]:
        """As `Piece`."""
        for record in read_pubmed(self.path, all_fields=self.all_fields):
            if isinstance(record, Citation):
                yield self._kept_or_left_out(record)
            elif isinstance(record, Deletion):
                yield Withdrawn(key=record.pmid, version=record.version)
            elif isinstance(record, UnusableRecord):
                yield LeftOut(key=None, version=1, reason=record.reason)
            else:
                yield record

    def _kept_or_left_out(self, citation: Citation) -> Kept | LeftOut:
        id_, title, text, meta = document_parts(citation)
        if not self.other_abstracts:
            meta.pop("other_abstracts", None)
        # The text is clean: one character of white space between words, none at the ends.
        words = text.count(" ") + text.count("\n") + 1 if text else 0
        reason = ""
        if not citation.abstract and self.require_abstract:
            reason = "no abstract"
        elif not words:
            reason = "neither abstract nor title"
        elif words < self.minimum_words:
            reason = f"fewer than {self.minimum_words} words"
        if reason:
            return LeftOut(key=citation.pmid, version=citation.version, reason=reason)
        return Kept(
            key=citation.pmid,
            version=citation.version,
            words=words,
            characters=len(text),
            line=document_line(id_, title, text, SOURCE, meta),
        )


def in_order_of_issue(paths: Sequence[Path]) -> list[Path]:
    """By year and number if all names are as NLM gives them (`pubmed25n0001.xml.gz`, before 2017 `medline…`), else as given.

    The numbers of the update files go on after those of the baseline of their year.
    """
    issues = [_ISSUED.fullmatch(path.name) for path in paths]
    numbers = [(int(issue[1]), int(issue[2])) for issue in issues if issue]
    if len(numbers) < len(paths):
        return list(paths)
    return [path for _, path in sorted(zip(numbers, paths, strict=True), key=lambda pair: pair[0])]


def extract_pubmed(options: ExtractPubmedOptions) -> None:
    """Writes the documents and the report, see `extract`. Raises CorpusError."""
    paths = in_order_of_issue(expand_inputs(options.inputs))
    choices: dict[str, Any] = {
        "all_fields": options.fields == "all",
        "other_abstracts": options.other_abstracts,
        "minimum_words": options.minimum_words,
        "require_abstract": options.require_abstract,
    }
    pieces = (PubmedFile(path=path, number=number, **choices) for number, path in enumerate(paths))
    extract(options, paths, pieces, {"source": "pubmed", **choices}, "reading PubMed")
