"""What `corpus stats` is given → documents files with the split they belong to, and what was dropped before them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.errors import CorpusError
from megatron_bio.corpus.inputs import expand_inputs

MANIFEST = "manifest.json"
SPLITS = ("train", "validation", "test")
SHARDS = "documents-*.jsonl.zst"


@dataclass(frozen=True, kw_only=True)
class DocumentsFile:
    """A file to count, and the split of the corpus that it is in; empty where there is none."""

    path: Path
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class DropTable:
    """How many records or documents an earlier stage left out, by reason."""

    stage: str
    """Which file tells of it."""
    read: int | None
    kept: int | None
    dropped: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that is counted."""

    files: list[DocumentsFile]
    drops: list[DropTable]


def find_inputs(names: Sequence[str]) -> Inputs:
    """The files of built corpora and single files, in the order given, each once; raises CorpusError.

    A folder must be a finished corpus: it has a manifest.
    """
    files: dict[Path, DocumentsFile] = {}
    drops: list[DropTable] = []
    for name in names:
        folder = Path(name)
        if folder.is_dir():
            manifest = read_report(_manifest_of(folder))
            found = [
                DocumentsFile(path=path, split=split)
                for split in SPLITS
                for path in sorted((folder / split).glob(SHARDS))
            ]
            if not found:
                raise CorpusError(
                    f"{folder}: expected {SHARDS} in {', '.join(SPLITS)}, found none. Build it again."
                )
            drops += drop_tables(folder / MANIFEST, manifest)
        else:
            found = [DocumentsFile(path=path) for path in expand_inputs([name])]
            for path in (file.path for file in found):
                report = path.with_name(f"{path.name}.report.json")
                if path not in files and report.is_file():
                    drops += drop_tables(report, read_report(report))
        for file in found:
            files.setdefault(file.path, file)
    return Inputs(files=list(files.values()), drops=drops)


def _manifest_of(folder: Path) -> Path:
    if not (folder / MANIFEST).is_file():
        raise CorpusError(
            f"{folder}: expected a corpus with {MANIFEST}, found none, so it is no corpus or it was never finished. Give "
            f"documents files, for example '{folder}/*.jsonl.zst', or run corpus build again: it goes on where it stopped."
        )
    return folder / MANIFEST


def read_report(path: Path) -> Mapping[str, object]:
    """The JSON object in a report or manifest; raises CorpusError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{path}: expected JSON, found: {error}. Make it again with the verb that wrote it."
        ) from error
    if not isinstance(content, dict):
        raise CorpusError(f"{path}: expected a JSON object, found {type(content).__name__}. Make it again.")
    return content


def drop_tables(path: Path, content: Mapping[str, object]) -> list[DropTable]:
    """What a report of an extraction, or the manifest of a corpus, says about what is not in the output."""
    dropped: dict[str, int] = {}
    for key, phrase in (
        ("replaced", "replaced by a later record"),
        ("deleted", "deleted by the publisher"),
    ):
        if count := _whole(content.get(key)):
            dropped[phrase] = count
    for key in ("skipped", "dropped"):
        reasons = content.get(key)
        if isinstance(reasons, Mapping):
            for reason, count in reasons.items():
                dropped[str(reason)] = dropped.get(str(reason), 0) + (_whole(count) or 0)
    read = _first_whole(content, "records_read", "documents_read", "read")
    kept = _first_whole(content, "kept", "documents")
    return [DropTable(stage=str(path), read=read, kept=kept, dropped=dropped)]


def _first_whole(content: Mapping[str, object], *keys: str) -> int | None:
    return next((number for key in keys if (number := _whole(content.get(key))) is not None), None)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
