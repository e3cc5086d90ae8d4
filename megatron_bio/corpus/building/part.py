"""First stage: one block of lines → one part in the work folder: normalised, filtered documents and their numbers."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.building.blocks import Block
from megatron_bio.corpus.building.contamination import Contamination
from megatron_bio.corpus.building.counts import Counts
from megatron_bio.corpus.building.document_keys import KeyCollector, is_article
from megatron_bio.corpus.building.filters import Filters
from megatron_bio.corpus.building.normalise import normalise
from megatron_bio.corpus.building.signatures import band_keys, signatures
from megatron_bio.corpus.building.split import SPLIT_NAMES, split_of
from megatron_bio.corpus.building.tables import (
    BANDS,
    DOCUMENT,
    SENTENCES,
    SIGNATURES,
    Keys,
    keys_path,
    write_array,
    write_keys,
    write_lines,
    write_signatures,
)
from megatron_bio.corpus.document import Document, parse_document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.work_folder import fingerprint

COUNTS = "counts.json"
DROPPED_LINES = "dropped.zst"


@dataclass(kw_only=True)
class Part:
    """A finished part; `documents` are those that the filters kept."""

    path: Path
    fingerprint: str
    documents: int = 0
    sources: list[str] = field(default_factory=list)
    read: Counts = field(default_factory=Counts)
    dropped: Counts = field(default_factory=Counts)
    losses: list[dict[str, str]] = field(default_factory=list)
    progress_bytes: int = 0


@dataclass
class _Content:
    """What is collected while the lines of a block are read."""

    keys: KeyCollector
    rows: list[tuple[object, ...]] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    lines: dict[int, list[bytes]] = field(
        default_factory=lambda: {split: [] for split in range(len(SPLIT_NAMES))}
    )
    dropped: list[bytes] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PartMaker:
    """Makes a part from a block, or takes the one that an earlier run made from the same; for `map_in_order`."""

    folder: Path
    made_from: dict[str, object]
    """All that the parts depend on beside the input."""
    filters: Filters
    contamination: Contamination | None
    on_error: Literal["stop", "keep"]

    def __call__(self, block: Block) -> Part:
        """Raises DamagedFileError for damage with `on_error` "stop"."""
        path = self.folder / block.name
        made_from = fingerprint({**self.made_from, "block": block.identity, "file": str(block.path)})
        part = load_part(path, made_from)
        if part is None:
            part = self._make(block, Part(path=path, fingerprint=made_from))
        if part.losses and self.on_error == "stop":
            loss = part.losses[0]
            raise DamagedFileError(Path(loss["file"]), loss["reason"], loss["message"])
        part.progress_bytes = block.progress_bytes
        return part

    def _make(self, block: Block, part: Part) -> Part:
        content = _Content(KeyCollector())
        for document in self._documents(block, part):
            words = len(document.text.split())
            part.read.add(document.source, "", words, len(document.text))
            reason, details = self._judge(document, words)
            if reason:
                part.dropped.add(document.source, reason, words, len(document.text))
                if self.filters.options.keep_dropped:
                    content.dropped.append(dropped_line(document, reason, **details))
            else:
                self._keep(document, words, content)
        part.documents, part.sources = len(content.rows), list(content.sources)
        self._write(part, content)
        return part

    def _documents(self, block: Block, part: Part) -> Iterator[Document]:
        """The documents, normalised; what cannot be read is a loss of the part."""
        for number, line in enumerate(block.lines, start=block.first_line):
            if line.isspace():
                continue
            try:
                yield normalise(parse_document(block.path, number, line))
            except DamagedFileError as error:
                self._lose(part, error)
        if block.damage is not None:
            self._lose(part, block.damage)

    def _lose(self, part: Part, error: DamagedFileError) -> None:
        if self.on_error == "stop":
            raise error
        part.losses.append({"file": str(error.path), "reason": error.reason, "message": error.message})

    def _judge(self, document: Document, words: int) -> tuple[str, dict[str, str]]:
        if reason := self.filters.reason(document, words):
            return reason, {}
        match = self.contamination.match(document) if self.contamination else None
        if match is None:
            return "", {}
        return match.reason, {"benchmark": match.benchmark, "item": match.item}

    def _keep(self, document: Document, words: int, content: _Content) -> None:
        source = content.sources.setdefault(document.source, len(content.sources))
        line = document.to_json()
        split = split_of(document, self.filters.options.split)
        content.keys.add(document)
        content.ids.append(json.dumps(document.id, ensure_ascii=False).encode())
        content.lines[split].append(line)
        content.rows.append(
            (
                content.keys.digests_low[-1],
                words,
                content.keys.plain_words[-1],
                len(document.text),
                len(line) + 1,
                source,
                split,
                is_article(document),
            )
        )

    def _write(self, part: Part, content: _Content) -> None:
        """`counts.json` is written last: without it the others count for nothing."""
        path = part.path
        write_array(path / "documents.npy", np.array(content.rows, DOCUMENT))
        for kind, table in content.keys.tables().items():
            write_keys(keys_path(path, kind), [table])
        options = self.filters.options
        if options.copied_sentence_fraction:
            write_keys(keys_path(path, SENTENCES), [content.keys.sentences()])
        if options.near_duplicate_similarity:
            rows = signatures(content.keys.shingles)
            bands = band_keys(rows, options.near_duplicate_similarity)
            numbers = np.arange(len(rows))
            write_signatures(path / SIGNATURES, rows)
            write_keys(keys_path(path, BANDS), [Keys.sorted(keys, numbers) for keys in bands])
        write_lines(path / "ids.zst", content.ids)
        write_lines(path / DROPPED_LINES, content.dropped)
        for split, lines in content.lines.items():
            write_lines(lines_path(path, split), lines)
        with atomic_file(path / COUNTS) as file:
            file.write(json.dumps({**asdict(part), "path": None}, ensure_ascii=False).encode())


def load_part(path: Path, made_from: str) -> Part | None:
    """The part that an earlier run finished, if it was made from the same."""
    try:
        content: dict[str, Any] = json.loads((path / COUNTS).read_bytes())
    except FileNotFoundError:
        return None
    if content["fingerprint"] != made_from:
        (path / COUNTS).unlink()
        return None
    counts = {name: Counts(**content[name]) for name in ("read", "dropped")}
    return Part(**{**content, **counts, "path": path})


def has_parts(folder: Path) -> bool:
    """Whether there is a finished part in a folder of parts."""
    return next(folder.glob(f"*/{COUNTS}"), None) is not None


def lines_path(part: Path, split: int) -> Path:
    """The file of the lines of one split."""
    return part / f"lines-{SPLIT_NAMES[split]}.zst"


def dropped_line(document: Document, reason: str, **details: object) -> bytes:
    """One line of dropped.jsonl.zst."""
    fields = {
        "id": document.id,
        "source": document.source,
        "reason": reason,
        **details,
        "title": document.title,
        "text": document.text,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
