"""The findings for people."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from megatron_bio.downstream.data_check.findings import Findings, Part, Reading


def as_text(findings: Findings, folder: Path) -> str:
    """One paragraph a benchmark, then what is damaged and what is not known; paths below `folder`."""
    lines: list[str] = []
    for benchmark in dict.fromkeys(part.benchmark for part in findings.parts):
        lines += [benchmark]
        for part in findings.parts:
            if part.benchmark == benchmark:
                lines += _part_lines(part, folder)
        if benchmark in findings.missing:
            lines.append(f"  missing: {', '.join(findings.missing[benchmark])}")
        lines.append("")
    if not findings.parts:
        lines += ["no benchmark found", ""]
    if findings.damaged:
        lines += ["damaged:", *(f"  {message}" for message in findings.damaged.values()), ""]
    if findings.unknown:
        lines += [
            "in none of the forms, not read:",
            *(f"  {_below(path, folder)}" for path in findings.unknown),
            "",
        ]
    return "\n".join(lines).rstrip()


def _part_lines(part: Part, folder: Path) -> Iterator[str]:
    yield f"  {part.name} ({part.kind})"
    yield from (f"    {line}" for line in _reading_lines(part.reading))
    for difference in part.differences:
        yield f"    differs: {difference}"
    for file in part.files:
        known = ", as known" if file.known else ""
        yield f"    {_below(file.path, folder)}: {file.size:,} bytes, sha256 {file.sha256}{known}"


def _reading_lines(reading: Reading) -> Iterator[str]:
    for what, count in reading.counts.items():
        if isinstance(count, int):
            yield f"{what}: {count:,}"
        else:
            yield f"{what}: {sum(count.values()):,}{_by_kind(count)}"
    if reading.offsets_verified is not None:
        yield f"offsets verified: {reading.offsets_verified:,}"
    for reason, count in sorted(reading.left_out.items()):
        yield f"left out: {count:,} x {reason}"
    for reason, count in sorted(reading.remarks.items()):
        yield f"remark: {count:,} x {reason}"
    for bias in reading.label_bias:
        yield f"label bias by {bias.samples}: {bias.ratio:.3f} ({bias.minority:,} / {bias.rest:,})"


def _by_kind(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{kind} {count:,}' for kind, count in counts.items())})" if counts else ""


def _below(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
