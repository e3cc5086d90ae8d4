"""A folder that `corpus build` has finished: its manifest and the files that the manifest vouches for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from megatron_bio.corpus.errors import CorpusError

MANIFEST = "manifest.json"
SHARDS = "*.jsonl*"


@dataclass(frozen=True, kw_only=True)
class CorpusFile:
    """A file of a corpus; `split` is empty for one that holds no documents of the corpus."""

    path: Path
    split: str
    bytes: int
    sha256: str

    def size_problem(self) -> str | None:
        """Whether it is missing or has another size; None if not. It is not read."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            return f"{self.path}: cannot be read: {error.strerror}"
        return None if size == self.bytes else f"{self.path}: expected {self.bytes:,} bytes, found {size:,}"

    def problem(self) -> str | None:
        """What is wrong with it, after reading all of it; None if it is as it was written."""
        if found := self.size_problem():
            return found
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"{self.path}: cannot be read: {error.strerror}"
        return None if digest == self.sha256 else f"{self.path}: sha256 differs from the one in {MANIFEST}"


@dataclass(frozen=True, kw_only=True)
class BuiltCorpus:
    """What a manifest says."""

    folder: Path
    manifest: Mapping[str, Any]
    files: tuple[CorpusFile, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the manifest, not the files; raises CorpusError where there is none or it is damaged."""
        path = folder / MANIFEST
        if not path.is_file():
            raise CorpusError(
                f"{folder}: expected a corpus with {MANIFEST}, found none, so it is no corpus or it was never finished. Give "
                f"documents files, for example '{folder}/*.jsonl.zst', or run corpus build again: it goes on where it stopped."
            )
        manifest = read_json_object(path)
        try:
            files = [
                _file(folder, split, shard)
                for split, content in manifest["splits"].items()
                for shard in content["shards"]
            ]
            files += [_file(folder, "", other) for other in manifest.get("files", [])]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorpusError(
                f"{path}: expected the manifest of a corpus with its splits and files, found another form ({error!r}). "
                "Build the corpus again."
            ) from error
        return cls(folder=folder, manifest=manifest, files=tuple(files))

    def problems(self, read: bool) -> list[str]:
        """Files that are missing or of another size, shards that are not its own, and with `read` files of other content.

        A shard that the manifest does not name would be read by whoever reads `train/*.jsonl.zst`.
        """
        found = [file.problem() if read else file.size_problem() for file in self.files]
        own = {file.path for file in self.files}
        folders = sorted({self.folder / split for split in self.manifest["splits"]})
        strangers = [path for folder in folders for path in sorted(folder.glob(SHARDS)) if path not in own]
        return [problem for problem in found if problem is not None] + [
            f"{path}: expected only shards that {MANIFEST} names in this folder; move it out"
            for path in strangers
        ]


def _file(folder: Path, split: str, description: Mapping[str, Any]) -> CorpusFile:
    name = Path(description["file"])
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"a file outside of the corpus: {name}")
    return CorpusFile(
        path=folder / name,
        split=split,
        bytes=int(description["bytes"]),
        sha256=str(description["sha256"]),
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a manifest or report; raises CorpusError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{path}: expected JSON, found: {error}. Make it again with the verb that wrote it."
        ) from error
    if not isinstance(content, dict):
        raise CorpusError(
            f"{path}: expected a JSON object, found {type(content).__name__}. Make it again with the verb that wrote it."
        )
    return content
