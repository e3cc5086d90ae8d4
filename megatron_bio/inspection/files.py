"""`megatron-bio inspect PATH`: recognises what a file or folder is by its content, and says what is in it.

Nothing is changed. Without --verify it stays quick on large things: only the first documents are counted, and checksums
are not computed. `corpora` describes what the corpus stage writes.
"""

import difflib
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from megatron_bio.checkpoint.find import complete_checkpoints
from megatron_bio.checkpoint.manifest import INFO, MANIFEST, read_json, verify
from megatron_bio.config.inspect import InspectOptions
from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.inspection.corpora import (
    describe_corpus,
    describe_documents,
    describe_report,
    describe_unfinished,
    is_corpus,
    is_report,
    is_unfinished,
)
from megatron_bio.inspection.description import NOT_COMPARED, Description, InspectionError, verdict
from megatron_bio.inspection.models import (
    describe_foreign,
    foreign_format,
    may_be_checkpoint,
    own_facts,
)
from megatron_bio.inspection.samples import show_samples
from megatron_bio.tokens.describe import describe_indexed
from megatron_bio.tokens.indexed import IndexedReader, data_path, index_path
from megatron_bio.tokens.sidecar import Sidecar, check_tokenizer, sidecar_path
from megatron_bio.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from megatron_bio.convert.formats import Format

UNDERSTOOD = (
    "documents (.jsonl, plain or compressed), a corpus (a folder made by corpus build), the report of an extraction "
    "(.report.json), a tokenizer folder, token data (prefix, .bin or .idx), a run's folder, a checkpoint (step-...), or a "
    "checkpoint of Hugging Face, Megatron-LM, Megatron Core or NeMo"
)
FILE_START_BYTES = 1 << 16
PIPED_WIDTH = 120
SAMPLE_SENTENCE = "Acetylcholinesterase inhibitors lower the TNF-α response."
_STEP = re.compile(r"\.?step-(\d{8,})(\.partial|\.removed)?")


def inspect(options: InspectOptions) -> None:
    """Print what `options.path` is, or rows of it; raise `InspectionError` if it is nothing known, or damaged."""
    if options.samples is not None:
        show_samples(options)
        return
    description = describe(options)
    if options.json:
        print(_as_json(options.path, description))
    else:
        _print(options.path, description)
    if description.problems:
        raise InspectionError(
            f"{options.path}: damaged: {'; '.join(description.problems)}. Copy it again or make it again."
        )


def describe(options: InspectOptions) -> Description:
    """Recognise `options.path` by its content and describe it."""
    path = options.path
    if path.is_dir():
        return _describe_folder(path, options)
    prefix = path.with_suffix("") if path.suffix in (".idx", ".bin") else path
    if index_path(prefix).is_file() or data_path(prefix).is_file():
        return _token_data(prefix, options)
    if path.is_file():
        return _describe_file(path, options)
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    meant = f"Did you mean {path.parent / near[0]}?" if near else "Check the name and the folder you are in."
    raise InspectionError(f"{path}: expected {UNDERSTOOD}; found nothing of that name. {meant}")


def _describe_folder(path: Path, options: InspectOptions) -> Description:
    names = {entry.name for entry in path.iterdir()}
    if is_unfinished(path):
        return describe_unfinished(path)
    if is_corpus(names):
        return describe_corpus(path, options.verify)
    if MANIFEST in names or INFO in names or _STEP.fullmatch(path.resolve().name):
        return _checkpoint(path, options)
    if "checkpoints" in names or any(_STEP.fullmatch(name) for name in names):
        return _run(path, options)
    if known := foreign_format(path):
        return _foreign(path, known)
    if {"tokenizer.json", "vocab.txt", "vocab.json"} & names:
        return Description(kind="tokenizer", facts=_tokenizer_facts(path))
    found = ", ".join(sorted(names)[:8]) or "nothing"
    raise InspectionError(f"{path}: expected {UNDERSTOOD}; found a folder with {found}.")


def _foreign(path: Path, known: "Format") -> Description:
    """Describe a checkpoint of another program, and its tokenizer if it has one that is understood."""
    description = describe_foreign(path, known)
    if path.is_dir() and {"tokenizer.json", "vocab.txt", "vocab.json"} & {
        entry.name for entry in path.iterdir()
    }:
        description.facts.update(_tokenizer_facts(path))
    return description


def _describe_file(path: Path, options: InspectOptions) -> Description:
    if may_be_checkpoint(path) and (known := foreign_format(path)):
        return describe_foreign(path, known)
    with DecompressedFile(path) as raw, io.BufferedReader(raw) as file:
        start = file.read(FILE_START_BYTES)
    if b"[CLS]" in start.splitlines():
        return Description(kind="vocabulary", facts=_tokenizer_facts(path))
    if is_report(start):
        return describe_report(path, options.verify)
    if start.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{"):
        return describe_documents(path, options.verify)
    found = start[:40].decode("utf-8", errors="replace")
    raise InspectionError(f"{path}: expected {UNDERSTOOD}; found a file that begins with {found!r}.")


def _token_data(prefix: Path, options: InspectOptions) -> Description:
    tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    facts = describe_indexed(prefix, tokenizer)
    facts["one_sequence_is"] = {"sentences": "a sentence", "documents": "a document"}.get(
        facts.pop("kind"), "not known"
    )
    if tokenizer:
        facts["tokenizer_check"] = check_tokenizer(prefix, tokenizer)
    if not options.verify:
        return Description(kind="token data", facts=facts | {"checksums": NOT_COMPARED})
    IndexedReader(prefix).verify()
    sidecar = Sidecar.read(prefix)
    if sidecar is None:
        return Description(kind="token data", facts=facts | {"checksums": "none: written by another program"})
    problems = tuple(
        f"{path}: sha256 differs from the one in {sidecar_path(prefix).name}"
        for path, digest in (
            (data_path(prefix), sidecar.files["bin"]),
            (index_path(prefix), sidecar.files["idx"]),
        )
        if _sha256(path) != digest.sha256
    )
    return Description(kind="token data", facts=facts | {"checksums": verdict(problems)}, problems=problems)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tokenizer_facts(path: Path) -> dict[str, Any]:
    tokenizer = Tokenizer.load(path)
    ids = tokenizer.encode_batch([SAMPLE_SENTENCE])[0]
    return {
        "tokenizer": {"wordpiece": "WordPiece", "bpe": "byte-level BPE"}[tokenizer.kind],
        "vocabulary_size": tokenizer.vocab_size,
        "lowercase": tokenizer.lowercase,
        "special_tokens": {
            str(tokenizer.id_to_token(int(number))): int(number) for number in tokenizer.special_ids
        },
        "fingerprint": tokenizer.fingerprint,
        "sample": SAMPLE_SENTENCE,
        "sample_tokens": " ".join(str(tokenizer.id_to_token(int(number))) for number in ids),
    }


def _run(path: Path, options: InspectOptions) -> Description:
    root = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    complete = complete_checkpoints(root)
    left_over = sorted(
        entry.name for entry in root.iterdir() if _STEP.fullmatch(entry.name) and entry not in complete
    )
    facts: dict[str, Any] = {
        "complete_checkpoints": [folder.name for folder in complete],
        "incomplete": left_over,
    }
    if not complete:
        return Description(kind="run without a complete checkpoint", facts=facts)
    newest = _checkpoint(complete[-1], options)
    return Description(
        kind="run", facts=facts | {"newest": newest.facts}, tensors=newest.tensors, problems=newest.problems
    )


def _checkpoint(path: Path, options: InspectOptions) -> Description:
    files = [entry for entry in path.iterdir() if entry.is_file()]
    facts: dict[str, Any] = {
        "checkpoint": path.resolve().name,
        "complete": (path / MANIFEST).is_file(),
        "files": len(files),
        "bytes_on_disk": sum(entry.stat().st_size for entry in files),
    }
    if not facts["complete"]:
        facts["note"] = (
            f"it has no {MANIFEST}: writing it was interrupted. It is never read and may be removed"
        )
        return Description(kind="checkpoint", facts=facts)
    problems = tuple(verify(path)) if options.verify else ()
    facts["checksums"] = verdict(problems) if options.verify else NOT_COMPARED
    info = read_json(path / INFO)
    # Its index is read with torch, which nothing else here needs.
    from megatron_bio.checkpoint.load import tensor_shapes

    tensors = {} if problems else tensor_shapes(path)
    model = {name: shape for name, shape in tensors.items() if name.startswith("model.")}
    facts["parameters"] = sum(map(prod, model.values()))
    facts |= {name: info.get(name) for name in ("step", "samples", "tokens")}
    facts["config"] = info.get("config", {})
    facts["tensors"] = len(tensors)
    if not problems:
        facts |= own_facts(path)
    return Description(kind="checkpoint", facts=facts, tensors=tensors, problems=problems)


def _as_json(path: Path, description: Description) -> str:
    content: dict[str, Any] = {"kind": description.kind, "path": str(path)}
    content |= {name.replace(" ", "_").replace(",", ""): value for name, value in description.facts.items()}
    if description.tensors:
        content["tensor_shapes"] = description.tensors
    if description.problems:
        content["problems"] = description.problems
    return json.dumps(content, indent=1, ensure_ascii=False)


def _print(path: Path, description: Description) -> None:
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False, highlight=False)
    table = Table("", "", title=f"{path}: {description.kind}", show_header=False)
    for name, value in description.facts.items():
        for shown_name, shown in _rows(name, value):
            table.add_row(shown_name, shown)
    console.print(table)
    if description.tensors:
        console.print(_tensor_table(description.tensors))


def _rows(name: str, value: object) -> list[tuple[str, str]]:
    """Give one row per fact; the entries of a mapping of mappings get rows of their own."""
    title = name.replace("_", " ")
    if isinstance(value, Mapping) and any(isinstance(part, Mapping) for part in value.values()):
        return [row for key, part in value.items() for row in _rows(str(key), part)]
    if isinstance(value, Mapping):
        parts = (f"{key} {_plain(part, ' ')}" for key, part in value.items() if part is not None)
        return [(title, ", ".join(parts) or "none")]
    if isinstance(value, int) and not isinstance(value, bool):
        return [(title, f"{value:,}")]
    return [(title, _plain(value, ", "))]


def _plain(value: object, separator: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return separator.join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _tensor_table(tensors: Mapping[str, tuple[int, ...]]) -> Table:
    """One line per kind of tensor, those of all layers together, and one line for all of the optimizer's."""
    table = Table("tensor", "shape", "times", "numbers")
    optimizer = [shape for name, shape in tensors.items() if name.startswith("optimizer.")]
    alike = Counter(
        (re.sub(r"(?<=\.)\d+(?=\.)", "*", name), shape)
        for name, shape in tensors.items()
        if not name.startswith("optimizer.")
    )
    for (name, shape), times in alike.items():
        table.add_row(
            name, " x ".join(map(str, shape)) or "one number", str(times), f"{prod(shape) * times:,}"
        )
    if optimizer:
        table.add_row("optimizer.*", "as the model's", str(len(optimizer)), f"{sum(map(prod, optimizer)):,}")
    return table
