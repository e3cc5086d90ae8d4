"""A folder that `corpus build` has finished: its manifest and the files that the manifest vouches for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from megatron_bio.corpus.errors import CorpusError

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class CorpusFile:
    """A file of a corpus; `split` is empty for one that holds no documents of the corpus."""

    path: Path
    split: str
    bytes: int
    sha256: str

    def problem(self) -> str | None:
        """What is wrong with it, after reading all of it; None if it is as it was written."""
        try:
            size = self.path.stat().st_size
            if size != self.bytes:
                return f"{self.path}: expected {self.bytes:,} bytes, found {size:,}"
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

    def problems(self) -> list[str]:
        """What is wrong with its files, after reading them all."""
        return [problem for file in self.files if (problem := file.problem()) is not None]


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
