"""What `megatron-bio inspect` says of documents, of a corpus built from them, and of what an interrupted run left."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from megatron_bio.corpus.built_corpus import MANIFEST, BuiltCorpus, read_json_object
from megatron_bio.corpus.document import read_documents
from megatron_bio.corpus.work_folder import SUFFIX
from megatron_bio.inspection.description import NOT_COMPARED, Description, verdict

QUICK_DOCUMENTS = 10_000
SPLITS = frozenset({"train", "validation", "test"})


def is_corpus(names: set[str]) -> bool:
    """Whether a folder with these entries is a corpus, told from a checkpoint, which has a manifest too."""
    return MANIFEST in names and not SPLITS.isdisjoint(names)


def is_unfinished(path: Path) -> bool:
    """Whether a folder is where a long job keeps what it has finished."""
    return path.resolve().name.endswith(SUFFIX)


def describe_documents(path: Path, whole: bool) -> Description:
    """Counts of a documents file, up to `QUICK_DOCUMENTS` unless the whole is wanted."""
    documents = read_documents([path])
    count = words = characters = 0
    first = ""
    sources: Counter[str] = Counter()
    for document in documents if whole else islice(documents, QUICK_DOCUMENTS):
        first = first or document.title or document.text[:100]
        count += 1
        words += len(document.text.split())
        characters += len(document.text)
        sources[document.source] += 1
    whole = whole or next(documents, None) is None
    facts = {
        "documents": count,
        "whole_file": whole,
        "words": words,
        "characters": characters,
        "sources": dict(sources.most_common(8)),
        "first_title": first,
        "bytes_on_disk": path.stat().st_size,
    }
    if not whole:
        facts["note"] = f"only the first {count:,} documents were read; --verify reads all"
    return Description(kind="documents", facts=facts)


def describe_corpus(path: Path, verify: bool) -> Description:
    """What the manifest says, and whether the files in it and no other shards are there; with `verify` also their sha256."""
    corpus = BuiltCorpus.read(path)
    manifest = corpus.manifest
    splits: Mapping[str, Mapping[str, Any]] = manifest["splits"]
    facts: dict[str, Any] = {
        "program": manifest.get("program"),
        "made_from": manifest.get("made_from"),
        "inputs": len(manifest.get("inputs", [])),
        "read": manifest.get("read"),
        "kept": manifest.get("kept"),
        "dropped": {reason: _documents(amounts) for reason, amounts in manifest.get("dropped", {}).items()},
        "splits": {
            name: {
                "documents": split.get("documents"),
                "words": split.get("words"),
                "shards": len(split["shards"]),
            }
            for name, split in splits.items()
        },
        "places_of_damage_in_the_inputs": len(manifest.get("losses", [])),
        "options": manifest.get("options", {}),
        "files": len(corpus.files),
        "bytes_on_disk": sum(file.bytes for file in corpus.files),
    }
    problems = tuple(corpus.problems(read=verify))
    facts["checksums"] = verdict(problems) if verify else NOT_COMPARED
    if problems:
        facts["problems"] = len(problems)
    return Description(kind="corpus", facts=facts, problems=problems)


def is_report(start: bytes) -> bool:
    """Whether a file that begins so is the report of an extraction, told from documents, which have one object a line."""
    return re.match(rb'\s*\{\s*"output": "[^\n]*",\n\s*"sha256":', start) is not None


def describe_report(path: Path, verify: bool) -> Description:
    """What an `extract` verb left out and why; with `verify` the documents beside it are compared with their sha256."""
    report = read_json_object(path)
    output = path.parent / Path(str(report.get("output"))).name
    losses = report.get("losses")
    counts = (
        "files",
        "records_read",
        "kept",
        "replaced",
        "deleted",
        "deletions_listed",
        "words",
        "characters",
    )
    facts: dict[str, Any] = {
        "report_on": output.name,
        "output_is_there": output.is_file(),
        **{name: report[name] for name in counts if name in report},
        "skipped": report.get("skipped", {}),
        "places_of_damage_in_the_inputs": len(losses) if isinstance(losses, list) else 0,
    }
    problems: tuple[str, ...] = ()
    if verify and output.is_file():
        with output.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != report.get("sha256"):
            problems = (f"{output}: sha256 differs from the one in {path.name}",)
    elif verify:
        problems = (f"{output}: expected the documents that {path.name} is about, found no such file",)
    facts["checksums"] = verdict(problems) if verify else NOT_COMPARED
    return Description(kind="report of an extraction", facts=facts, problems=problems)


def describe_unfinished(path: Path) -> Description:
    """What a run that did not end has left, and what to do with it."""
    whole = path.resolve()
    output = whole.with_name(whole.name.removesuffix(SUFFIX))
    files = [entry for entry in whole.rglob("*") if entry.is_file()]
    facts: dict[str, Any] = {
        "belongs_to": str(output),
        "output_is_there": output.exists(),
        "files": len(files),
        "bytes_on_disk": sum(entry.stat().st_size for entry in files),
        "last_change": _time(max(entry.stat().st_mtime for entry in [whole, *files])),
        "note": f"a run that makes {output.name} is working or was interrupted. The same command goes on from here and removes "
        "this folder when it is done; if it is not wanted any more, the folder may be removed",
    }
    return Description(kind="unfinished work", facts=facts)


def _documents(amounts: object) -> object:
    return amounts.get("documents") if isinstance(amounts, Mapping) else amounts


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="seconds")
