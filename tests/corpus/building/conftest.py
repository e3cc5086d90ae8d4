"""Small documents of made-up words, and a way to build a corpus of them and read it back."""

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.building.run import build_corpus
from megatron_bio.corpus.document import Document, read_documents

STEMS = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu"]
FUNCTION_WORDS = ["the", "of", "and", "was", "were", "with", "for", "that", "in"]


class Prose:
    """Made-up English: no two of its texts share a sentence."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def word(self) -> str:
        return "".join(self._random.choices(STEMS, k=self._random.randint(2, 4)))

    def sentence(self, words: int = 14) -> str:
        chosen = [self._random.choice(FUNCTION_WORDS) if n % 3 == 1 else self.word() for n in range(words)]
        return " ".join(chosen).capitalize() + "."

    def sentences(self, count: int = 8) -> list[str]:
        return [self.sentence() for _ in range(count)]

    def length(self) -> int:
        """A number of sentences as abstracts have them."""
        return self._random.randint(5, 12)

    def text(self, sentences: int = 8) -> str:
        return " ".join(self.sentences(sentences))


@pytest.fixture
def prose() -> Prose:
    return Prose()


@dataclass
class Corpus:
    """A corpus on disk."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.path / "manifest.json").read_text())
        return content

    def documents(self, split: str = "*") -> list[Document]:
        shards = sorted(self.path.glob(f"{split}/*.jsonl.zst"))
        return list(read_documents(shards)) if shards else []

    def ids(self, split: str = "*") -> set[str]:
        return {document.id for document in self.documents(split)}

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The objects in copies.jsonl.zst and the like."""
        import zstandard

        content = zstandard.ZstdDecompressor().decompressobj().decompress((self.path / name).read_bytes())
        return [json.loads(line) for line in content.splitlines()]

    def dropped(self) -> dict[str, str]:
        """Reason by id of all that was dropped; needs keep_dropped."""
        return {line["id"]: line["reason"] for line in self.lines("dropped.jsonl.zst")}

    def copies(self) -> dict[str, tuple[str, str]]:
        return {line["id"]: (line["reason"], line["of"]) for line in self.lines("copies.jsonl.zst")}

    def bytes(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents as plain JSONL and gives the path."""

    def make(documents: Sequence[Document], name: str = "documents.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(document.to_json() + b"\n" for document in documents))
        return path

    return make


@pytest.fixture
def build(tmp_path: Path, write: Callable[..., Path]) -> Callable[..., Corpus]:
    """Builds a corpus of documents or paths."""

    def make(*inputs: Path | Document, output: str = "corpus", **options: Any) -> Corpus:
        documents = [each for each in inputs if isinstance(each, Document)]
        paths = [each for each in inputs if isinstance(each, Path)]
        if documents:
            paths.append(write(documents, f"{output}-input.jsonl"))
        settings = {"keep_dropped": True, **options}
        path = tmp_path / output
        build_corpus(BuildCorpusOptions(inputs=[str(each) for each in paths], output=path, **settings))
        return Corpus(path)

    return make


@pytest.fixture(autouse=True)
def small_ranges_and_no_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hundred keys make several ranges, as a real corpus does; and no waiting for the disk.

    Only a power cut shows whether files were synced; in these tests it is most of the time.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("megatron_bio.corpus.building.equal_keys.RANGE_KEYS", 64)
    yield
