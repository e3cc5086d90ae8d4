"""One piece of input → one part in the work folder: the lines of its documents and a table of its records."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zstandard

from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.records import Kept, LeftOut, Lost, Piece, Withdrawn
from megatron_bio.corpus.work_folder import fingerprint

FASTEST_LEVEL = 1
READ_BUFFER_BYTES = 1 << 20
NO_KEY = -1
ALL_VERSIONS = -1
WITHDRAWN = -1
FORMAT = 1
"""Changes whenever a new version of the program would give other lines for the same input."""

Table = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(kw_only=True)
class PartCounts:
    """What was in a piece; records = number of kept + sum of skipped."""

    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    withdrawals: int = 0
    losses: list[dict[str, str | int]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A finished part; `changes` [n, 3] are key, version and number of the record (-1: withdrawn) in the order of the input."""

    name: str
    counts: PartCounts
    changes: Table
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
        try:
            with np.load(_table_path(self.folder, piece.name), allow_pickle=False) as arrays:
                if arrays["fingerprint"].item() != made_from:
                    return None
                counts = json.loads(arrays["counts"].item())
                changes = arrays["changes"]
        except FileNotFoundError:
            return None
        return Part(
            name=piece.name,
            counts=PartCounts(**{**counts, "skipped": Counter(counts["skipped"])}),
            changes=changes,
            progress_bytes=piece.progress_bytes,
        )

    def _make(self, piece: Piece, made_from: str) -> None:
        """The table is written last: without it the lines count for nothing."""
        counts = PartCounts()
        changes: list[tuple[int, int, int]] = []
        kept: list[tuple[int, int, int, int]] = []
        with (
            atomic_file(lines_path(self.folder, piece.name)) as file,
            zstandard.ZstdCompressor(level=FASTEST_LEVEL).stream_writer(file, closefd=False) as lines,
        ):
            for record in self._records_or_damage(piece):
                match record:
                    case Kept():
                        if record.key is not None:
                            changes.append((record.key, record.version, counts.records))
                        key = NO_KEY if record.key is None else record.key
                        kept.append((counts.records, key, record.words, record.characters))
                        lines.write(record.line + b"\n")
                        counts.records += 1
                    case LeftOut():
                        if record.key is not None:
                            changes.append((record.key, record.version, counts.records))
                        counts.skipped[record.reason] += 1
                        counts.records += 1
                    case Withdrawn():
                        version = ALL_VERSIONS if record.version is None else record.version
                        changes.append((record.key, version, WITHDRAWN))
                        counts.withdrawals += 1
                    case Lost():
                        counts.losses.append({**asdict(record), "path": str(record.path)})
                        counts.skipped[record.reason] += record.records
                        counts.records += record.records
        buffer = io.BytesIO()
        np.savez(
            buffer,
            fingerprint=np.array(made_from),
            counts=np.array(json.dumps(vars(counts))),
            changes=np.array(changes, dtype=np.int64).reshape(-1, 3),
            kept=np.array(kept, dtype=np.int64).reshape(-1, 4),
        )
        with atomic_file(_table_path(self.folder, piece.name)) as file:
            file.write(buffer.getbuffer())

    def _records_or_damage(self, piece: Piece) -> Iterator[Kept | LeftOut | Withdrawn | Lost]:
        """The records; damage that ends the reading is the last of them, or is raised at once with "stop"."""
        try:
            for record in piece.records():
                if isinstance(record, Lost) and self.on_error == "stop":
                    raise DamagedFileError(record.path, record.reason, record.message)
                yield record
        except DamagedFileError as error:
            if self.on_error == "stop":
                raise
            yield Lost(path=error.path, reason=error.reason, message=error.message, records=0)


def lines_path(folder: Path, name: str) -> Path:
    """Where the lines of a part are."""
    return folder / f"{name}.jsonl.zst"


def _table_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npz"


def kept_table(folder: Path, name: str) -> Table:
    """[lines, 4]: for each line of a part the number of its record, key (-1: none), words and characters."""
    with np.load(_table_path(folder, name), allow_pickle=False) as arrays:
        table: Table = arrays["kept"]
        return table


def read_lines(folder: Path, name: str) -> Iterator[bytes]:
    """The lines of a part, without newline, in order; as many as `kept_table` has rows."""
    rest = b""
    with (
        lines_path(folder, name).open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
    ):
        while block := stream.read(READ_BUFFER_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
