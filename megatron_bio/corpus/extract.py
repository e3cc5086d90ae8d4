"""The verb `extract-pubmed`: PubMed XML files → one documents file and a report of what was left out and why."""

import hashlib
import json
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from megatron_bio.config.corpus import ExtractPubmedOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.citation_register import CitationRegister
from megatron_bio.corpus.document import DocumentWriter
from megatron_bio.corpus.errors import CorpusError, DamagedFileError
from megatron_bio.corpus.inputs import expand_inputs
from megatron_bio.corpus.progress import byte_progress
from megatron_bio.corpus.pubmed import Citation, Deletion, UnusableRecord, read_pubmed, to_document
from megatron_bio.corpus.spool import DocumentSpool, SpooledDocument

ALL_VERSIONS = -1


@dataclass(kw_only=True)
class ExtractionReport:
    """What came in and what became of it: records_read = kept + replaced + deleted + the sum of skipped.

    `replaced` are records that a later record with the same PMID, or a higher version, took the place of; `deleted` those
    that a DeleteCitation withdrew. Records of skipped files are in none of these counts.
    """

    files: int = 0
    files_skipped: list[dict[str, str]] = field(default_factory=list)
    records_read: int = 0
    kept: int = 0
    replaced: int = 0
    deleted: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    deletions_listed: int = 0
    other_abstracts_unused: int = 0
    words: int = 0
    characters: int = 0

    def skip(self, reason: str, count: int = 1) -> None:
        """Counts records left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def add_file(self, file: "ExtractionReport") -> None:
        """Takes over the counts of the first pass over one file."""
        self.files += 1
        self.records_read += file.records_read
        self.deletions_listed += file.deletions_listed
        self.other_abstracts_unused += file.other_abstracts_unused
        for reason, count in file.skipped.items():
            self.skip(reason, count)

    def to_text(self) -> str:
        """The table for the terminal."""
        rows = [("files read", self.files), ("records read", self.records_read), ("kept", self.kept)]
        rows += [(f"skipped: {reason}", count) for reason, count in sorted(self.skipped.items())]
        rows += [
            ("replaced by a later record", self.replaced),
            ("deleted by NLM", self.deleted),
            ("deletions listed", self.deletions_listed),
            ("other abstracts, not used", self.other_abstracts_unused),
            ("words", self.words),
            ("characters", self.characters),
            ("files skipped", len(self.files_skipped)),
        ]
        table = "\n".join(f"{name:<38}{count:>16,}" for name, count in rows)
        return "\n".join(
            [table, *(f"  {skipped['reason']}: {skipped['message']}" for skipped in self.files_skipped)]
        )


def extract_pubmed(options: ExtractPubmedOptions) -> None:
    """Writes `options.output` and `options.output`.report.json, and prints the report.

    Order matters as in PubMed: of each PMID the highest version counts, of equal versions the last read, and a
    DeleteCitation withdraws the version that it names when that was read before it (all versions when it names none).
    The kept documents are in the order of reading, so the output depends only on the inputs and the options.

    Every input is read once. Documents wait compressed in a nameless temporary file beside the output, which needs about
    the space of the output again; memory is 8 bytes for each PMID in use (8 MB per million citations, about 320 MB for
    all of PubMed) and 24 bytes per record of the file being read. Both outputs appear under their names only when
    complete; after an interrupt or an error earlier ones are intact.

    Raises CorpusError when an input is missing, when one is damaged (`on_error` "stop"), or when nothing is left.
    """
    started = time.monotonic()
    paths = expand_inputs(options.inputs)
    if options.output.resolve() in {path.resolve() for path in paths}:
        raise CorpusError(f"--output {options.output} is also an input. Give another --output.")
    total_bytes = sum(path.stat().st_size for path in paths)
    report = ExtractionReport()
    register = CitationRegister()
    with DocumentSpool(options.output.parent) as spool:
        with byte_progress("reading PubMed", total_bytes, options.progress) as show_bytes:
            done_bytes = 0
            for path in paths:
                _read_or_skip(path, options, spool, register, report, _shifted(show_bytes, done_bytes))
                done_bytes += path.stat().st_size
        with DocumentWriter(options.output) as writer:
            _write_current(spool, register, writer, report)
            if not report.kept:
                raise CorpusError(
                    f"expected at least one document, found none in {len(paths)} files; nothing was written.\n"
                    f"{report.to_text()}"
                )
    _write_report(options.output, report)
    seconds = time.monotonic() - started
    print(report.to_text())
    print(f"{report.records_read / seconds:,.0f} records/s; wrote {options.output}")


def _shifted(show_bytes: Callable[[int], None], start: int) -> Callable[[int], None]:
    return lambda position: show_bytes(start + position)


def _read_or_skip(
    path: Path,
    options: ExtractPubmedOptions,
    spool: DocumentSpool,
    register: CitationRegister,
    report: ExtractionReport,
    show_bytes: Callable[[int], None],
) -> None:
    try:
        file_report, changes = _read_file(path, options, spool, report.records_read, show_bytes)
    except DamagedFileError as error:
        if options.on_error == "stop":
            raise
        spool.drop_file()
        report.files_skipped.append({"path": str(path), "reason": error.reason, "message": str(error)})
        return
    spool.keep_file()
    for index in range(0, len(changes), 3):
        pmid, version, position = changes[index : index + 3]
        if position >= 0:
            register.put(pmid, version, position)
        else:
            register.remove(pmid, None if version == ALL_VERSIONS else version)
    report.add_file(file_report)


def _read_file(
    path: Path,
    options: ExtractPubmedOptions,
    spool: DocumentSpool,
    first_position: int,
    show_bytes: Callable[[int], None],
) -> tuple[ExtractionReport, "array[int]"]:
    """The counts of one file and its changes to the register: PMID, version and position (-1: deleted), in turn."""
    counts = ExtractionReport()
    changes = array("q")
    for record in read_pubmed(path, show_bytes):
        if isinstance(record, Deletion):
            counts.deletions_listed += 1
            changes.extend((record.pmid, ALL_VERSIONS if record.version is None else record.version, -1))
            continue
        position = first_position + counts.records_read
        counts.records_read += 1
        if isinstance(record, UnusableRecord):
            counts.skip(record.reason)
            continue
        changes.extend((record.pmid, record.version, position))
        counts.other_abstracts_unused += record.other_abstracts
        reason = _spool_or_reason(record, position, options, spool)
        if reason is not None:
            counts.skip(reason)
    return counts, changes


def _spool_or_reason(
    citation: Citation, position: int, options: ExtractPubmedOptions, spool: DocumentSpool
) -> str | None:
    """Puts a citation that fulfils the options into the spool, or says why it does not."""
    if not citation.abstract and options.require_abstract:
        return "no abstract"
    document = to_document(citation)
    words = len(document.text.split())
    if not words:
        return "neither abstract nor title"
    if words < options.minimum_words:
        return f"fewer than {options.minimum_words} words"
    spool.append(
        SpooledDocument(
            position=position,
            pmid=citation.pmid,
            words=words,
            characters=len(document.text),
            line=document.to_json(),
        )
    )
    return None


def _write_current(
    spool: DocumentSpool, register: CitationRegister, writer: DocumentWriter, report: ExtractionReport
) -> None:
    for document in spool:
        current = register.current(document.pmid)
        if current == document.position:
            writer.write_line(document.line)
            report.kept += 1
            report.words += document.words
            report.characters += document.characters
        elif current is None:
            report.deleted += 1
        else:
            report.replaced += 1


def _write_report(output: Path, report: ExtractionReport) -> None:
    with output.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    content = {"output": output.name, "sha256": digest, **asdict(report)}
    with atomic_file(output.with_name(f"{output.name}.report.json")) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n")
