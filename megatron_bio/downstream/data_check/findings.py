"""What was found in a folder: the parts of benchmarks, each with its files and counts, and what cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from megatron_bio.downstream.readers.label_bias import LabelBias

Counts = Mapping[str, int | Mapping[str, int]]
"""A count, or counts by kind."""


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file."""

    path: Path
    size: int
    """Bytes of the content, decompressed."""
    sha256: str
    """Of the content, decompressed."""
    known: bool
    """Whether it is, byte for byte, a file that this library has been tried with."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a reader found in the files of a part."""

    counts: Counts
    offsets_verified: int | None = None
    """Mentions or answers that were compared with the text; None where the form has no offsets."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[str, int] = field(default_factory=dict)
    label_bias: tuple[LabelBias, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a benchmark: its training set, one batch of its test questions."""

    benchmark: str
    name: str
    kind: str
    files: tuple[CheckedFile, ...]
    reading: Reading
    differences: tuple[str, ...] = ()
    """Files that are not there, and counts that are not those of the known file of this name."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of a folder."""

    parts: tuple[Part, ...]
    missing: Mapping[str, tuple[str, ...]]
    """Benchmark to the parts that it should have too."""
    damaged: Mapping[Path, str]
    """File to what is wrong with it, the file's name in front."""
    unknown: tuple[Path, ...]
    """Files that are in none of the forms."""
