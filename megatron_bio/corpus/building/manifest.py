"""manifest.json: what a corpus is made of, what was dropped and why, and the checksum of each file."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from megatron_bio import __version__
from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.building.blocks import InputFile
from megatron_bio.corpus.building.contamination import Contamination
from megatron_bio.corpus.building.counts import AMOUNTS, Counts, named
from megatron_bio.corpus.building.document_keys import LEAST_SENTENCE_WORDS, SHINGLE_WORDS
from megatron_bio.corpus.building.repeated_ids import RepeatedIds
from megatron_bio.corpus.building.shards import WrittenShard
from megatron_bio.corpus.building.signatures import ALGORITHM
from megatron_bio.corpus.building.split import SPLIT_NAMES
from megatron_bio.corpus.work_folder import fingerprint

MANIFEST = "manifest.json"
FORMAT = 3
"""Changes whenever a new version of the program would make another corpus of the same inputs."""

_NOT_IN_THE_RESULT: Final = frozenset(
    {"inputs", "output", "benchmarks", "workers", "resume", "overwrite", "on_error", "progress"}
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that the content of a corpus depends on."""

    options: BuildCorpusOptions
    inputs: Sequence[InputFile]
    contamination: Contamination | None

    def described_options(self) -> dict[str, object]:
        """The options that the corpus depends on, by name."""
        options = self.options
        return {
            field.name: getattr(options, field.name)
            for field in fields(options)
            if field.name not in _NOT_IN_THE_RESULT
        }

    def part_identity(self) -> dict[str, object]:
        """All but the inputs."""
        return {
            "format": FORMAT,
            "options": self.described_options(),
            "benchmarks": self.contamination.fingerprint if self.contamination else None,
            "libraries": libraries(),
        }

    def fingerprint(self) -> str:
        """Of the whole."""
        return fingerprint({**self.part_identity(), "inputs": [file.identity for file in self.inputs]})


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was made."""

    read: Counts
    kept: Counts
    dropped: Counts
    repeated_ids: RepeatedIds
    losses: list[dict[str, str]]
    shards: list[WrittenShard]
    other_files: list[str]


def libraries() -> dict[str, str]:
    """Versions of what decides about a document or a byte beside this program."""
    return {
        "minhash": ALGORITHM,
        "py3langid": version("py3langid"),
        "unicode": unicodedata.unidata_version,
        "zstandard": version("zstandard"),
    }


def describe(recipe: Recipe, result: Result, corpus: Path) -> bytes:
    """The content of manifest.json; nothing in it depends on when, where or by how many workers it was made."""
    content = {
        "format": FORMAT,
        "program": f"megatron-bio {__version__}",
        "made_from": recipe.fingerprint(),
        "libraries": libraries(),
        "options": recipe.described_options(),
        "shingle_words": SHINGLE_WORDS,
        "least_sentence_words": LEAST_SENTENCE_WORDS,
        "inputs": _inputs(recipe.inputs),
        "benchmarks": recipe.contamination.summary() if recipe.contamination else [],
        "read": named(result.read.total()),
        "kept": named(result.kept.total()),
        "dropped": {reason: named(amounts) for reason, amounts in result.dropped.by_reason().items()},
        "kept_with_the_id_of_another": asdict(result.repeated_ids),
        "sources": _sources(result),
        "losses": _losses(recipe.inputs, result.losses),
        "splits": {name: _split(name, result.shards) for name in SPLIT_NAMES},
        "files": [_file(corpus, name) for name in result.other_files],
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


def read_manifest(corpus: Path) -> dict[str, Any] | None:
    """The manifest of a complete corpus; None if there is none or it cannot be understood."""
    try:
        content = json.loads((corpus / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) and "made_from" in content else None


def is_whole(corpus: Path, manifest: dict[str, Any]) -> bool:
    """Whether all files of a corpus are there with their sizes; the checksums are not computed."""
    files = [
        *manifest["files"],
        *(shard for split in manifest["splits"].values() for shard in split["shards"]),
    ]
    return all(
        (path := corpus / file["file"]).is_file() and path.stat().st_size == file["bytes"] for file in files
    )


def _inputs(inputs: Sequence[InputFile]) -> list[dict[str, object]]:
    names = telling_names([file.path for file in inputs])
    return [file.identity | {"file": names[file.path]} for file in inputs]


def _losses(inputs: Sequence[InputFile], losses: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    names = {str(path): name for path, name in telling_names([file.path for file in inputs]).items()}
    return [{**loss, "file": names[loss["file"]]} for loss in losses]


def telling_names(paths: Sequence[Path]) -> dict[Path, str]:
    """For each path its name, with as many of its folders as tell it from the others: `a/x.jsonl` and `b/x.jsonl`, or `x.jsonl`."""
    names: dict[Path, str] = {}
    length = 1
    while len(names) < len(paths):
        endings = {path: "/".join(path.absolute().parts[-length:]) for path in paths if path not in names}
        counts = Counter(endings.values())
        whole = {path for path in endings if length >= len(path.absolute().parts)}
        names |= {path: end for path, end in endings.items() if counts[end] == 1 or path in whole}
        length += 1
    return names


def _sources(result: Result) -> dict[str, object]:
    read, kept = result.read.by_source(), result.kept.by_source()
    dropped = result.dropped.described()
    return {
        source: {
            "read": named(amounts),
            "kept": named(kept.get(source, [0] * len(AMOUNTS))),
            "dropped": dropped.get(source, {}),
        }
        for source, amounts in read.items()
    }


def _split(name: str, shards: Sequence[WrittenShard]) -> dict[str, object]:
    own = [shard for shard in shards if shard.file.startswith(f"{name}/")]
    totals = {
        amount: sum(int(getattr(shard, amount)) for shard in own)
        for amount in (*AMOUNTS, "content_bytes", "bytes")
    }
    return {**totals, "shards": [asdict(shard) for shard in own]}


def _file(corpus: Path, name: str) -> dict[str, object]:
    path = corpus / name
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": name, "bytes": path.stat().st_size, "sha256": digest}
