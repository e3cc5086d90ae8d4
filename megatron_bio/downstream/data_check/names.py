"""Which benchmark a file belongs to and which part of it is, where its content is not that of a known file."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from megatron_bio.downstream.data_check.kinds import Kind

PARTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "BC5CDR-chem": ("train", "devel", "test"),
        "BC5CDR-disease": ("train", "devel", "test"),
        "BC5CDR": ("train", "devel", "test"),
        "NCBI-disease": ("train", "devel", "test"),
        "BC2GM": ("train", "devel", "test"),
        "JNLPBA": ("train", "devel", "test"),
        "ChemProt": ("training", "development", "test"),
        "GAD": ("train", "test"),
        "SQuAD": ("train", "dev"),
        "BioASQ": (),
        "PubMedQA": ("test",),
        "MedQA": ("train", "dev", "test"),
        "MedMCQA": ("train", "dev", "test"),
    }
)
"""Benchmark to the parts that fine-tuning and evaluation need; BioASQ's differ from year to year."""

# BioASQ calls its training sets trainining7b.json and the like.
ALSO_CALLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("dev", "devel", "develop", "developset", "development", "valid", "validation"), "development"
        ),
        **dict.fromkeys(("train", "training", "trainining", "trainset"), "train"),
        **dict.fromkeys(("test", "testing", "testset"), "test"),
    }
)

_BY_KIND: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "SQuAD": "SQuAD",
        "BioASQ": "BioASQ",
        "PubMedQA": "PubMedQA",
        "PubMedQA decisions": "PubMedQA",
        "MedQA": "MedQA",
        "MedMCQA": "MedMCQA",
    }
)
NAMES_LOOKED_AT = 3
"""The file's, its folder's and the one's above it, as GAD's folds need."""
COMPRESSED_ENDINGS = (".gz", ".bz2", ".xz", ".zst")
_SEAM = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[a-z])")
"""Between the words of TrainingSet and of NCBItrainset."""
_WORD = re.compile(r"[A-Za-z]+")


def benchmark_of(path: Path, kind: Kind) -> str:
    """By the form; else by the longest name of a benchmark in the name or its two folders'; else the folder's name.

    SQuAD's form is BioASQ's too, if a name says so.
    """
    named = named_benchmark(path)
    if kind == "SQuAD" and any("bioasq" in name for name in _names(path)):
        return "BioASQ"
    return _BY_KIND.get(kind) or named or path.absolute().parent.name


def named_benchmark(path: Path) -> str | None:
    """The longest name of a benchmark in the file's name or its two folders'; None if there is none."""
    names = _names(path)
    longest_first = sorted(PARTS, key=len, reverse=True)
    return next((one for one in longest_first if any(_letters(one) in name for name in names)), None)


def part_of(path: Path) -> str:
    """Train, development, test as a word of the file's name; otherwise the name without its endings."""
    stem = path.name
    while stem.endswith(COMPRESSED_ENDINGS):
        stem = stem.rpartition(".")[0]
    stem = stem.rpartition(".")[0] or stem
    words = [word.casefold() for word in _WORD.findall(_SEAM.sub(" ", stem))]
    parts = [word for word in words if word in ALSO_CALLED]
    return parts[0] if len(parts) == 1 else stem


def missing_parts(benchmark: str, found: set[str]) -> tuple[str, ...]:
    """The parts that a benchmark should have and that are not among those found, whichever of its names they bear."""
    there = {ALSO_CALLED.get(part, part) for part in found}
    return tuple(part for part in PARTS.get(benchmark, ()) if ALSO_CALLED.get(part, part) not in there)


def _names(path: Path) -> list[str]:
    return [_letters(name) for name in path.absolute().parts[-NAMES_LOOKED_AT:]]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
