"""A folder → what is in it. Nothing is changed."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from megatron_bio.downstream.data_check.findings import CheckedFile, Counts, Findings, Part, Reading
from megatron_bio.downstream.data_check.kinds import kind_of
from megatron_bio.downstream.data_check.known_files import KNOWN
from megatron_bio.downstream.data_check.names import COMPRESSED_ENDINGS, benchmark_of, missing_parts, part_of
from megatron_bio.downstream.data_check.summaries import SUMMARIES, summary_of_chemprot
from megatron_bio.downstream.readers.chemprot import PARTS, ChemProtFiles, chemprot_part
from megatron_bio.tokens.data_file import DamagedFileError, DataFile

DATA_ENDINGS = (".tsv", ".txt", ".json", ".jsonl", ".iob", ".iob2", ".conll", ".bio", ".pubtator")
LARGEST_BYTES = 1 << 30
"""A larger file is none of these benchmarks and is not opened."""


def look_into(folder: Path) -> Findings:
    """Recognise and read every file in a folder and below it, but none whose name begins with a full stop."""
    paths = list(_files(folder))
    chemprot = _chemprot_files(paths)
    in_chemprot = {path for files in chemprot.values() for path in files.values()}
    parts: list[Part] = []
    damaged: dict[Path, str] = {}
    unknown: list[Path] = []
    for path in paths:
        if path in in_chemprot:
            continue
        try:
            part = None if path.stat().st_size > LARGEST_BYTES else _look_at(path)
        except DamagedFileError as error:
            if _is_data_by_name(path):
                damaged[path] = str(error)
                continue
            part = None
        if part is None:
            unknown.append(path)
        else:
            parts.append(part)
    for (_, name), files in chemprot.items():
        try:
            parts.append(_look_at_chemprot(name, files))
        except DamagedFileError as error:
            damaged[error.path] = str(error)
    parts.sort(key=lambda part: (part.benchmark.casefold(), part.files[0].path))
    return Findings(parts=tuple(parts), missing=_missing(parts), damaged=damaged, unknown=tuple(unknown))


def _files(folder: Path) -> Iterator[Path]:
    """Sorted. Links to folders are followed, but not back to a folder on the way."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(here / name)]
        found += [here / name for name in names if not name.startswith(".")]
    yield from (path for path in sorted(found) if path.is_file())


def _leads_back(folder: Path) -> bool:
    """Whether it is a link to one of the folders on the way to it, in which one would walk round and round."""
    if not folder.is_symlink():
        return False
    target = folder.resolve()
    return any(above.resolve() == target for above in folder.absolute().parents)


def _chemprot_files(paths: list[Path]) -> dict[tuple[Path, str], dict[str, Path]]:
    """By folder and name: those called ChemProt, and texts with their entities; `relations.tsv` alone may be anything."""
    groups: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for path in paths:
        part = chemprot_part(path)
        if part is not None:
            groups[path.parent, part[0]][part[1]] = path
    return {
        (folder, name): files
        for (folder, name), files in groups.items()
        if "chemprot" in name.casefold() or {"abstracts", "entities"} <= files.keys()
    }


def _is_data_by_name(path: Path) -> bool:
    name = path.name.casefold()
    return name.endswith(
        (*DATA_ENDINGS, *(f"{data}{end}" for data in DATA_ENDINGS for end in COMPRESSED_ENDINGS))
    )


def _look_at(path: Path) -> Part | None:
    file = DataFile(path)
    kind = kind_of(file)
    if kind is None:
        return None
    known = KNOWN.get(file.sha256)
    return _part(
        benchmark=known.benchmark if known else benchmark_of(path, kind),
        name=known.part if known else part_of(path),
        kind=kind,
        files=[file],
        reading=SUMMARIES[kind](file),
    )


def _look_at_chemprot(name: str, paths: dict[str, Path]) -> Part:
    """One part of ChemProt. Raises DamagedFileError; without texts or entities nothing can be read."""
    for needed in ("abstracts", "entities"):
        if needed not in paths:
            path = next(iter(paths.values()))
            raise DamagedFileError(
                path,
                "part of a benchmark",
                f"expected {name}_{needed}.tsv beside it, found {', '.join(sorted(paths))} alone. Put it there.",
            )
    files = ChemProtFiles(
        name=name,
        abstracts=paths["abstracts"],
        entities=paths["entities"],
        relations=paths.get("relations"),
        gold_standard=paths.get("gold_standard"),
    )
    return _part(
        benchmark="ChemProt",
        name=name.rpartition("_")[2] or files.abstracts.absolute().parent.name,
        kind="ChemProt",
        files=[DataFile(path) for _, path in sorted(paths.items())],
        reading=summary_of_chemprot(files),
        absent=tuple(f"{name}_{kind}.tsv is not there" for kind in PARTS if kind not in paths),
    )


def _part(
    *,
    benchmark: str,
    name: str,
    kind: str,
    files: list[DataFile],
    reading: Reading,
    absent: tuple[str, ...] = (),
) -> Part:
    return Part(
        benchmark=benchmark,
        name=name,
        kind=kind,
        files=tuple(
            CheckedFile(path=file.path, size=file.size, sha256=file.sha256, known=file.sha256 in KNOWN)
            for file in files
        ),
        reading=reading,
        differences=absent + _differences(benchmark, name, kind, reading.counts),
    )


def _differences(benchmark: str, name: str, kind: str, counts: Counts) -> tuple[str, ...]:
    """How the counts are others than those of the known file in the same form and of the same name."""
    found = totals(counts)
    return tuple(
        f"{what}: {expected:,} expected, {found.get(what, 0):,} found"
        for known in KNOWN.values()
        if (known.benchmark, known.part, known.kind) == (benchmark, name, kind)
        for what, expected in known.counts.items()
        if found.get(what, 0) != expected
    )


def totals(counts: Counts) -> dict[str, int]:
    """Each count as one number, those by kind added up."""
    return {what: count if isinstance(count, int) else sum(count.values()) for what, count in counts.items()}


def _missing(parts: list[Part]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        found[part.benchmark].add(part.name)
    missing = {benchmark: missing_parts(benchmark, names) for benchmark, names in found.items()}
    return {benchmark: names for benchmark, names in missing.items() if names}
