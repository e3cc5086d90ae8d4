"""From pieces of input to one documents file and a report of what was left out and why; the same for all sources."""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from megatron_bio.config.errors import IncompleteResultError
from megatron_bio.config.extract import ExtractionOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.document import DocumentWriter
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.extraction.part import (
    ALL_VERSIONS,
    NO_KEY,
    WITHDRAWN,
    Part,
    PartMaker,
    kept_table,
    read_lines,
)
from megatron_bio.corpus.extraction.records import Piece
from megatron_bio.corpus.extraction.register import Register
from megatron_bio.corpus.extraction.report import ExtractionReport
from megatron_bio.corpus.progress import byte_progress
from megatron_bio.corpus.work_folder import WorkFolder
from megatron_bio.corpus.workers import map_in_order


def extract(
    options: ExtractionOptions,
    paths: Sequence[Path],
    pieces: Iterable[Piece],
    made_from: dict[str, object],
    title: str,
) -> None:
    """Writes `options.output` and `options.output`.report.json, and prints the report.

    Order matters: of each key the highest version counts, of equal versions the last read, and a withdrawal takes away
    the version that it names when that was read before it. The kept documents are in the order of reading, so the output
    depends only on the inputs and the options, not on the number of workers. `made_from` are the options that the
    documents depend on; `paths` are counted and never overwritten.

    Every input is read once, into parts in OUTPUT.unfinished, which need about the space of the output again. Memory is
    8 bytes for each key in use (about 320 MB for all of PubMed), the tables of one part (56 bytes a record), and what each
    worker needs for a record. Both outputs appear under their names only when complete.

    Raises CorpusError when damage stops it or nothing is left, and IncompleteResultError at the end after damage with
    `on_error` "keep".
    """
    if options.output.resolve() in {path.resolve() for path in paths}:
        raise CorpusError(f"--output {options.output} is also an input. Give another --output.")
    started = time.monotonic()
    folder = WorkFolder.beside(options.output, options.resume)
    report = ExtractionReport(files=len(paths))
    register = Register()
    parts: list[tuple[str, int]] = []
    maker = PartMaker(folder.path, made_from, options.on_error)
    total_bytes = sum(path.stat().st_size for path in paths)
    with byte_progress(title, total_bytes, options.progress) as show_bytes:
        done_bytes = 0
        for part in map_in_order(maker, pieces, options.workers):
            _register(part, report.records_read, register)
            report.add(part.counts)
            parts.append((part.name, part.counts.records))
            done_bytes += part.progress_bytes
            show_bytes(done_bytes)
    with DocumentWriter(options.output) as writer:
        _write_current(folder.path, parts, register, writer, report)
        if not report.kept:
            raise CorpusError(
                f"expected at least one document, found none in {len(paths)} files; nothing was written.\n"
                f"{report.to_text()}"
            )
    report_path = _write_report(options.output, report)
    folder.remove()
    print(report.to_text())
    print(
        f"{report.records_read / (time.monotonic() - started):,.0f} records/s; wrote {options.output}",
        flush=True,
    )
    if report.losses:
        raise IncompleteResultError(
            f"{options.output} is written and whole, but {len(report.losses):,} places of the input were damaged; the first: "
            f"{report.losses[0]['path']}: {report.losses[0]['message']} All are in {report_path}."
        )


def _register(part: Part, first_position: int, register: Register) -> None:
    for key, version, number in part.changes.tolist():
        if number == WITHDRAWN:
            register.remove(key, None if version == ALL_VERSIONS else version)
        else:
            register.put(key, version, first_position + number)


def _write_current(
    folder: Path,
    parts: Iterable[tuple[str, int]],
    register: Register,
    writer: DocumentWriter,
    report: ExtractionReport,
) -> None:
    """Writes the lines that count; `parts` are name and number of records of each."""
    first_position = 0
    for name, records in parts:
        kept = kept_table(folder, name)
        keep = np.ones(len(kept), dtype=bool)
        for row, (number, key) in enumerate(kept[:, :2].tolist()):
            if key == NO_KEY:
                continue
            current = register.current(key)
            if current != first_position + number:
                keep[row] = False
                report.deleted += current is None
                report.replaced += current is not None
        for line, is_kept in zip(read_lines(folder, name), keep.tolist(), strict=True):
            if is_kept:
                writer.write_line(line)
        report.kept += int(keep.sum())
        report.words += int(kept[keep, 2].sum())
        report.characters += int(kept[keep, 3].sum())
        first_position += records


def _write_report(output: Path, report: ExtractionReport) -> Path:
    with output.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path = output.with_name(f"{output.name}.report.json")
    with atomic_file(path) as file:
        content = {"output": output.name, "sha256": digest, **vars(report)}
        file.write(json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n")
    return path
