"""The findings for programs."""

from dataclasses import asdict
from typing import Any

from megatron_bio.downstream.data_check.findings import Findings, Part


def as_json(findings: Findings) -> dict[str, Any]:
    """What json.dumps takes; numbers as they are, paths as text."""
    return {
        "parts": [_part(part) for part in findings.parts],
        "missing": {benchmark: list(parts) for benchmark, parts in findings.missing.items()},
        "damaged": {str(path): message for path, message in findings.damaged.items()},
        "unknown": [str(path) for path in findings.unknown],
    }


def _part(part: Part) -> dict[str, Any]:
    reading = part.reading
    return {
        "benchmark": part.benchmark,
        "part": part.name,
        "kind": part.kind,
        "counts": dict(reading.counts),
        "offsets_verified": reading.offsets_verified,
        "left_out": dict(reading.left_out),
        "remarks": dict(reading.remarks),
        "label_bias": [{**asdict(bias), "ratio": bias.ratio} for bias in reading.label_bias],
        "differences": list(part.differences),
        "files": [{**asdict(file), "path": str(file.path)} for file in part.files],
    }
