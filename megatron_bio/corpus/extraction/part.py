"""One piece of input → one part in the work folder: the lines of its documents and a table of its records."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard

from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Kept, LeftOut, Lost, Piece, Record, Withdrawn
from megatron_bio.corpus.work_folder import fingerprint

FASTEST_LEVEL = -5
BLOCK_BYTES = 1 << 20
NO_KEY = -1
ALL_VERSIONS = -1
WITHDRAWN = -1
CHANGE_NUMBERS = 3
KEPT_NUMBERS = 4
FORMAT = 3
"""Changes whenever a new version of the program would give other lines for the same input."""


@dataclass(kw_only=True)
class PartCounts:
    """What was in a piece; records = number of kept + sum of skipped."""

    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    withdrawals: int = 0
    losses: list[dict[str, str | int]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A finished part; `changes` are rows of key, version, number of the record (-1: withdrawn), in the order of the input."""

    name: str
    counts: PartCounts
    changes: "array[int]"
    progress_bytes: int


@dataclass(frozen=True)
class PartMaker:
    """Makes a part from a piece, or takes the one that an earlier run made from the same; for `map_in_order`."""

    folder: Path
    options: dict[str, object]
    """All that the documents depend on beside the input."""
    on_error: Literal["stop", "keep"]

    def __call__(self, piece: Piece) -> Part:
        """Raises DamagedFileError for damage with `on_error` "stop"."""
        made_from = fingerprint({"format": FORMAT, "options": self.options, "piece": piece.identity})
        part = self._load(piece, made_from)
        if part is None:
            self._make(piece, made_from)
            part = self._load(piece, made_from)
            assert part is not None, f"the part of {piece.place} was just written"
        if part.counts.losses and self.on_error == "stop":
            loss = part.counts.losses[0]
            raise DamagedFileError(Path(str(loss["path"])), str(loss["reason"]), str(loss["message"]))
        return part

    def _load(self, piece: Piece, made_from: str) -> Part | None:
        """The part, if both of its files are there; an earlier run may have been killed while it removed them."""
        if not lines_path(self.folder, piece.name).exists():
            return None
        try:
            with _table_path(self.folder, piece.name).open("rb") as file:
                head = json.loads(file.readline())
                if head["fingerprint"] != made_from:
                    return None
                changes = _read_array(file, head["changes"])
        except FileNotFoundError:
            return None
        counts = head["counts"]
        return Part(
            name=piece.name,
            counts=PartCounts(**{**counts, "skipped": Counter(counts["skipped"])}),
            changes=changes,
            progress_bytes=piece.progress_bytes,
        )

    def _make(self, piece: Piece, made_from: str) -> None:
        """The table is written last: without it the lines count for nothing. An older table must not count for new lines."""
        _table_path(self.folder, piece.name).unlink(missing_ok=True)
        with (
            atomic_file(lines_path(self.folder, piece.name)) as file,
            zstandard.ZstdCompressor(level=FASTEST_LEVEL).stream_writer(file, closefd=False) as lines,
        ):
            builder = _Builder(lines, self.on_error)
            try:
                for record in piece.records():
                    builder.add(record)
            except DamagedFileError as error:
                # The damage that ends the reading is the last record, or is raised at once with "stop".
                if self.on_error == "stop":
                    raise
                builder.add(Lost(path=error.path, reason=error.reason, message=error.message, records=0))
            builder.write_lines()
        head = {
            "fingerprint": made_from,
            "counts": vars(builder.counts),
            "changes": len(builder.changes),
            "kept": len(builder.kept),
        }
        with atomic_file(_table_path(self.folder, piece.name)) as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(builder.changes.tobytes())
            file.write(builder.kept.tobytes())


class _Builder:
    """Takes the records of a part one by one."""

    def __init__(self, lines: zstandard.ZstdCompressionWriter, on_error: Literal["stop", "keep"]) -> None:
        self._on_error = on_error
        self.counts = PartCounts()
        self.changes = array("q")
        self.kept = array("q")
        self._stream = lines
        self._lines: list[bytes] = []
        self._line_bytes = 0

    def add(self, record: Record) -> None:
        counts = self.counts
        if isinstance(record, Kept):
            if record.key is not None:
                self.changes.extend((record.key, record.version, counts.records))
            key = NO_KEY if record.key is None else record.key
            self.kept.extend((counts.records, key, record.words, record.characters))
            counts.records += 1
            self._lines.append(record.line)
            self._line_bytes += len(record.line)
            if self._line_bytes > BLOCK_BYTES:
                self.write_lines()
        elif isinstance(record, LeftOut):
            if record.key is not None:
                self.changes.extend((record.key, record.version, counts.records))
            counts.skipped[record.reason] += 1
            counts.records += 1
        elif isinstance(record, Withdrawn):
            version = ALL_VERSIONS if record.version is None else record.version
            self.changes.extend((record.key, version, WITHDRAWN))
            counts.withdrawals += 1
        else:
            if self._on_error == "stop":
                raise DamagedFileError(record.path, record.reason, record.message)
            counts.losses.append({**asdict(record), "path": str(record.path)})
            if record.records:
                counts.skipped[record.reason] += record.records
            counts.records += record.records

    def write_lines(self) -> None:
        if self._lines:
            self._stream.write(b"\n".join(self._lines) + b"\n")
            self._lines, self._line_bytes = [], 0


def lines_path(folder: Path, name: str) -> Path:
    """Where the lines of a part are."""
    return folder / f"{name}.jsonl.zst"


def _table_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.table"


def _read_array(file: BinaryIO, length: int) -> "array[int]":
    numbers = array("q")
    numbers.fromfile(file, length)
    return numbers


def kept_table(folder: Path, name: str) -> "array[int]":
    """Four numbers for each line of a part: number of its record, key (-1: none), words and characters."""
    with _table_path(folder, name).open("rb") as file:
        head = json.loads(file.readline())
        _read_array(file, head["changes"])
        return _read_array(file, head["kept"])


def read_blocks(folder: Path, name: str) -> Iterator[bytes]:
    """The lines of a part, with their newlines, cut anywhere."""
    with (
        lines_path(folder, name).open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
    ):
        while block := stream.read(BLOCK_BYTES):
            yield block


def read_line_blocks(folder: Path, name: str) -> Iterator[list[bytes]]:
    """The lines of a part, without newline, in order, some at a time; as many in all as `kept_table` has rows."""
    rest = b""
    for block in read_blocks(folder, name):
        *lines, rest = (rest + block).split(b"\n")
        yield lines
