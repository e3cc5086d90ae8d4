"""Third stage: what is kept, in the order of the input, into shards of about equal size."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.building.collection import Collection
from megatron_bio.corpus.building.part import lines_path
from megatron_bio.corpus.building.split import SPLIT_NAMES
from megatron_bio.corpus.building.tables import open_array, read_lines
from megatron_bio.corpus.document import DocumentWriter
from megatron_bio.corpus.work_folder import fingerprint


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard to write, as a task: kept documents of one split from number `begin` on, before `end`."""

    split: int
    number: int
    begin: int
    end: int

    @property
    def file(self) -> str:
        """Its path in the corpus."""
        return f"{SPLIT_NAMES[self.split]}/documents-{self.number:05d}.jsonl.zst"

    @property
    def place(self) -> str:
        """For messages."""
        return self.file


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """A shard on disk, for the manifest; `bytes` are of the file, `content_bytes` of the lines in it."""

    file: str
    documents: int
    words: int
    characters: int
    content_bytes: int
    bytes: int
    sha256: str


def plan_shards(collection: Collection, kept_file: Path, shard_bytes: int) -> Iterator[Shard]:
    """Shards that each end with the document that makes them `shard_bytes` long or longer, but for the last of a split."""
    kept = open_array(kept_file)
    for split in range(len(SPLIT_NAMES)):
        number, begin, size, last = 0, 0, 0, -1
        for path, first in zip(collection.paths, collection.firsts, strict=False):
            table = open_array(path / "documents.npy")
            chosen = np.flatnonzero((table["split"] == split) & kept[first : first + len(table)])
            for document, length in zip(chosen.tolist(), table["line_bytes"][chosen].tolist(), strict=True):
                size, last = size + length, first + document
                if size >= shard_bytes:
                    yield Shard(split=split, number=number, begin=begin, end=last + 1)
                    number, begin, size = number + 1, last + 1, 0
        if size:
            yield Shard(split=split, number=number, begin=begin, end=last + 1)


@dataclass(frozen=True)
class ShardWriter:
    """Writes a shard, or takes the one that an earlier run wrote; for `map_in_order`."""

    collection: Collection
    kept_file: Path
    corpus: Path
    """Folder of the corpus in the making."""
    vouchers: Path
    """Folder for a file beside each finished shard that says what it was made from."""
    made_from: str

    def __call__(self, shard: Shard) -> WrittenShard:
        """Raises CorpusError when the disk refuses."""
        voucher = self.vouchers / f"{SPLIT_NAMES[shard.split]}-{shard.number:05d}.json"
        made_from = fingerprint({"made_from": self.made_from, **asdict(shard)})
        path = self.corpus / shard.file
        try:
            content = json.loads(voucher.read_bytes())
            if content["made_from"] == made_from and path.exists():
                return WrittenShard(**content["shard"])
        except FileNotFoundError:
            pass
        totals = np.zeros(4, np.int64)
        with DocumentWriter(path) as writer:
            for line, amounts in self._lines(shard):
                writer.write_line(line)
                totals += amounts
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        documents, words, characters, content_bytes = totals.tolist()
        written = WrittenShard(
            file=shard.file,
            documents=documents,
            words=words,
            characters=characters,
            content_bytes=content_bytes,
            bytes=path.stat().st_size,
            sha256=digest,
        )
        with atomic_file(voucher) as file:
            file.write(json.dumps({"made_from": made_from, "shard": asdict(written)}).encode())
        return written

    def _lines(self, shard: Shard) -> Iterator[tuple[bytes, tuple[int, int, int, int]]]:
        """Each line with what it adds to documents, words, characters and bytes."""
        kept = open_array(self.kept_file)
        firsts = self.collection.firsts
        first_part = int(np.searchsorted(firsts, shard.begin, side="right")) - 1
        for path, first in zip(self.collection.paths[first_part:], firsts[first_part:], strict=False):
            if first >= shard.end:
                return
            table = open_array(path / "documents.npy")
            numbers = np.flatnonzero(table["split"] == shard.split)
            wanted = kept[first + numbers] & (first + numbers >= shard.begin) & (first + numbers < shard.end)
            lines = read_lines(lines_path(path, shard.split))
            for line, number, is_wanted in zip(lines, numbers.tolist(), wanted.tolist(), strict=True):
                if is_wanted:
                    row = table[number]
                    yield line, (1, int(row["words"]), int(row["characters"]), int(row["line_bytes"]))
