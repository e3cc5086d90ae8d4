"""What was dropped, as files in the corpus: which document is a copy of which, and on request all dropped texts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megatron_bio.corpus.building.collection import Collection, Numbers
from megatron_bio.corpus.building.counts import Counts
from megatron_bio.corpus.building.part import DROPPED_LINES, Part, lines_path
from megatron_bio.corpus.building.split import SPLIT_NAMES
from megatron_bio.corpus.building.tables import open_array, read_lines
from megatron_bio.corpus.building.verdicts import KEPT, NEAR, REASONS, Verdicts

SIMILARITY_DIGITS = 3


@dataclass(frozen=True)
class Copies:
    """The verdicts with the ids of the documents that they are about."""

    collection: Collection
    verdicts: Verdicts
    named: Numbers
    """All documents that were dropped as copies or kept in the place of one, ascending."""
    ids: NDArray[np.bytes_]
    """Their ids as JSON."""
    order: Numbers
    """Of the verdicts' entries by document."""

    @classmethod
    def of(cls, collection: Collection, verdicts: Verdicts) -> "Copies":
        """Reads the ids."""
        verdicts.of = verdicts.keepers(verdicts.of)
        named = np.unique(np.concatenate([verdicts.documents, verdicts.of]))
        ids = [np.empty(0, np.bytes_)]
        for path, first, end in zip(collection.paths, collection.firsts, collection.firsts[1:], strict=False):
            here = set(named[np.searchsorted(named, first) : np.searchsorted(named, end)].tolist())
            if here:
                lines = enumerate(read_lines(path / "ids.zst"), start=first)
                ids.append(np.array([line for number, line in lines if number in here]))
        return cls(collection, verdicts, named, np.concatenate(ids), np.argsort(verdicts.documents))

    def fields(self, entry: int) -> dict[str, object]:
        """Id, reason, the id of the kept document, and the similarity where it is no full copy."""
        verdicts = self.verdicts
        document = int(verdicts.documents[entry])
        reason = int(verdicts.reason[document])
        fields: dict[str, object] = {
            "id": self._id(document),
            "reason": REASONS[reason],
            "of": self._id(int(verdicts.of[entry])),
        }
        if reason >= NEAR and verdicts.similarity[entry] < 1:
            fields["similarity"] = round(float(verdicts.similarity[entry]), SIMILARITY_DIGITS)
        return fields

    def _id(self, document: int) -> str:
        name: str = json.loads(self.ids[np.searchsorted(self.named, document)])
        return name

    def lines(self) -> Iterator[bytes]:
        """The lines of copies.jsonl.zst, in the order of the input."""
        for entry in self.order.tolist():
            yield json.dumps(self.fields(entry), ensure_ascii=False, separators=(",", ":")).encode()

    def dropped_lines(self) -> Iterator[bytes]:
        """The lines of dropped.jsonl.zst: what the filters dropped, then the copies of each split, in the order of the input."""
        for path in self.collection.paths:
            yield from read_lines(path / DROPPED_LINES)
        for split in range(len(SPLIT_NAMES)):
            for path, first in zip(self.collection.paths, self.collection.firsts, strict=False):
                numbers = first + np.flatnonzero(open_array(path / "documents.npy")["split"] == split)
                dropped = self.verdicts.reason[numbers] != KEPT
                if not dropped.any():
                    continue
                entries = self.order[np.searchsorted(self.verdicts.documents[self.order], numbers[dropped])]
                following = iter(entries.tolist())
                for is_dropped, line in zip(
                    dropped.tolist(), read_lines(lines_path(path, split)), strict=True
                ):
                    if is_dropped:
                        yield self._dropped_line(next(following), line)

    def _dropped_line(self, entry: int, line: bytes) -> bytes:
        document = json.loads(line)
        fields = {"source": document["source"], **self.fields(entry)}
        fields |= {"title": document["title"], "text": document["text"]}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def count_copies(parts: list[Part], collection: Collection, verdicts: Verdicts) -> tuple[Counts, Counts]:
    """What is kept and what was dropped as a copy, by source and reason."""
    kept, dropped = Counts(), Counts()
    for part, first in zip(parts, collection.firsts, strict=False):
        table = open_array(part.path / "documents.npy")
        reasons = verdicts.reason[first : first + len(table)]
        for source, reason in np.unique(np.stack([table["source"], reasons], axis=1), axis=0).tolist():
            chosen = table[(table["source"] == source) & (reasons == reason)]
            counts = kept if reason == KEPT else dropped
            counts.add(
                part.sources[source],
                REASONS[reason],
                int(chosen["words"].sum(dtype=np.int64)),
                int(chosen["characters"].sum(dtype=np.int64)),
                len(chosen),
            )
    return kept, dropped
