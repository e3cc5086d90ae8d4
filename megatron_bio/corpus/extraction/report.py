"""What came into an extraction and what became of it."""

from collections import Counter
from dataclasses import dataclass, field

from megatron_bio.corpus.extraction.part import PartCounts

LOSSES_SHOWN = 10


@dataclass(kw_only=True)
class ExtractionReport:
    """Counts of records: records_read = kept + replaced + deleted + the sum of skipped.

    `replaced` are records that a later record with the same key, or a higher version, took the place of; `deleted` those
    that a deletion withdrew. Records that damage made unreadable are in `skipped`, as far as they could be counted, and
    `losses` names them.
    """

    files: int = 0
    records_read: int = 0
    kept: int = 0
    replaced: int = 0
    deleted: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    deletions_listed: int = 0
    words: int = 0
    characters: int = 0
    losses: list[dict[str, str | int]] = field(default_factory=list)

    def add(self, counts: PartCounts) -> None:
        """Takes over the counts of a part."""
        self.records_read += counts.records
        self.skipped += counts.skipped
        self.deletions_listed += counts.withdrawals
        self.losses += counts.losses

    def to_text(self) -> str:
        """The table for the terminal."""
        rows = [("files read", self.files), ("records read", self.records_read), ("kept", self.kept)]
        rows += [(f"skipped: {reason}", count) for reason, count in sorted(self.skipped.items())]
        rows += [
            ("replaced by a later record", self.replaced),
            ("deleted by the publisher", self.deleted),
            ("deletions listed", self.deletions_listed),
            ("words", self.words),
            ("characters", self.characters),
            ("places of damage", len(self.losses)),
        ]
        lines = [f"{name:<38}{count:>16,}" for name, count in rows]
        lines += [f"  {loss['path']}: {loss['message']}" for loss in self.losses[:LOSSES_SHOWN]]
        if len(self.losses) > LOSSES_SHOWN:
            lines.append(f"  and {len(self.losses) - LOSSES_SHOWN:,} more, all in the report file")
        return "\n".join(lines)
