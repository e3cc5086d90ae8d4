"""From pieces of input to one documents file and a report of what was left out and why; the same for all sources."""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import compress, islice
from pathlib import Path

from megatron_bio.config.errors import IncompleteResultError
from megatron_bio.config.extract import ExtractionOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.document import DocumentWriter
from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.extraction.part import (
    ALL_VERSIONS,
    CHANGE_NUMBERS,
    KEPT_NUMBERS,
    NO_KEY,
    WITHDRAWN,
    Part,
    PartMaker,
    kept_table,
    read_blocks,
    read_line_blocks,
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

    Every input is read once, into parts in OUTPUT.unfinished, which need less than twice the space of the output. Memory is
    8 bytes for each key in use (about 320 MB for all of PubMed), the tables of one part (56 bytes a record), and what each
    worker needs for a record. Both outputs appear under their names only when complete.

    Raises CorpusError when damage stops it or nothing is left, and IncompleteResultError at the end after damage with
    `on_error` "keep".
    """
    _check_output(options.output, paths)
    started = time.monotonic()
    report = ExtractionReport(files=len(paths))
    with WorkFolder.locked_beside(options.output, options.resume) as folder:
        register = Register()
        maker = PartMaker(folder.path, made_from, options.on_error)
        parts = _make_parts(maker, pieces, paths, register, report, options, title)
        with DocumentWriter(options.output) as writer:
            _write_current(folder.path, parts, register, writer, report)
            if not report.kept:
                folder.remove()
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


def _check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Refuses now what would fail after hours."""
    if output.resolve() in {path.resolve() for path in inputs}:
        raise CorpusError(f"--output {output} is also an input. Give another --output.")
    for path in (output, _report_path(output)):
        if path.is_dir():
            raise CorpusError(
                f"--output {output}: expected a file or nothing at {path}, found a folder. Give another --output."
            )


def _make_parts(
    maker: PartMaker,
    pieces: Iterable[Piece],
    paths: Sequence[Path],
    register: Register,
    report: ExtractionReport,
    options: ExtractionOptions,
    title: str,
) -> list[tuple[str, int]]:
    """Makes all parts and enters their records; gives name and number of records of each."""
    parts: list[tuple[str, int]] = []
    done_bytes = 0
    with (
        byte_progress(title, sum(path.stat().st_size for path in paths), options.progress) as show_bytes,
        closing(map_in_order(maker, pieces, options.workers)) as made,
    ):
        for part in made:
            _register(part, report.records_read, register)
            report.add(part.counts)
            parts.append((part.name, part.counts.records))
            done_bytes += part.progress_bytes
            show_bytes(done_bytes)
    return parts


def _register(part: Part, first_position: int, register: Register) -> None:
    numbers = iter(part.changes)
    for key, version, number in zip(*[numbers] * CHANGE_NUMBERS, strict=True):
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
        numbers = iter(kept_table(folder, name))
        keep = bytearray()
        for number, key, words, characters in zip(*[numbers] * KEPT_NUMBERS, strict=True):
            current = first_position + number if key == NO_KEY else register.current(key)
            is_current = current == first_position + number
            keep.append(is_current)
            if is_current:
                report.kept += 1
                report.words += words
                report.characters += characters
            elif current is None:
                report.deleted += 1
            else:
                report.replaced += 1
        _copy_lines(folder, name, keep, writer)
        first_position += records


def _copy_lines(folder: Path, name: str, keep: bytearray, writer: DocumentWriter) -> None:
    """Writes the lines of a part for which `keep` has a 1."""
    if all(keep):
        for block in read_blocks(folder, name):
            writer.write_lines(block)
        return
    is_kept = iter(keep)
    for lines in read_line_blocks(folder, name):
        for line in compress(lines, islice(is_kept, len(lines))):
            writer.write_line(line)


def _write_report(output: Path, report: ExtractionReport) -> Path:
    with output.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path = _report_path(output)
    with atomic_file(path) as file:
        content = {"output": output.name, "sha256": digest, **vars(report)}
        file.write(json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n")
    return path


def _report_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.report.json")
