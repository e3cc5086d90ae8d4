"""The counts as JSON, for programs."""

import json
from dataclasses import asdict

from megatron_bio.corpus.statistics.as_text import GROUPS, PERCENTILES, ordered, ordered_drops
from megatron_bio.corpus.statistics.counts import Counts, Lengths, all_lengths
from megatron_bio.corpus.statistics.inputs import DropTable, Inputs

FORMAT = 1


def as_json(counts: Counts, inputs: Inputs) -> str:
    """Everything that was counted; the same for any number of workers."""
    content: dict[str, object] = {
        "format": FORMAT,
        "files": [file.path.as_posix() for file in inputs.files],
        "total": asdict(counts.total),
    }
    for title, name in GROUPS:
        amounts = ordered(getattr(counts, name), by_name=title == "year")
        content[name] = {value: asdict(amount) for value, amount in amounts}
    content["words_per_document"] = _lengths(all_lengths(counts))
    content["words_per_document_by_source"] = {
        source: _lengths(Lengths(counts.lengths[source])) for source in sorted(counts.lengths)
    }
    content["marked"] = {flag: counts.flags[flag] for flag in sorted(counts.flags)}
    content["left_out"] = [_drops(table) for table in inputs.drops]
    return json.dumps(content, ensure_ascii=False, indent=1)


def _lengths(lengths: Lengths) -> dict[str, object]:
    histogram = lengths.histogram()
    return {
        "mean": round(lengths.mean, 3),
        "percentiles": {str(percent): lengths.percentile(percent) for percent in PERCENTILES},
        "longest": max(lengths.counts, default=0),
        "histogram": [{"first": first, "documents": documents} for first, documents in histogram.items()],
    }


def _drops(table: DropTable) -> dict[str, object]:
    return {
        "told_by": table.told_by,
        "read": table.read,
        "kept": table.kept,
        "reasons": dict(ordered_drops(table.dropped)),
    }
