"""The document, the one thing that flows out of the corpus stage, with its writer and its reader.

On disk: one JSON object per line, UTF-8, in one zstd frame with checksum (`documents.jsonl.zst`):
`{"id": "pubmed:12345", "title": "...", "text": "...", "source": "pubmed", "meta": {...}}`.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import zstandard

from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.decompression import DecompressedFile
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.inputs import expand_inputs
from megatron_bio.corpus.json_lines import bad_line, parse_object, parse_string

ZSTD_LEVEL = 3
# With threads the bytes are the same for any number of them, but others than without.
ZSTD_THREADS = 2
READ_BUFFER_BYTES = 1 << 20
KNOWN_KEYS = frozenset({"id", "title", "text", "source", "meta"})
_ODD_CONTROLS = bytes(byte for byte in range(32) if byte != ord("\n"))
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One text with its origin. Paragraphs of `text` are separated by a newline; `meta` holds what JSON can hold."""

    id: str
    text: str
    title: str = ""
    source: str = ""
    meta: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """One line of a documents file, without the newline."""
        return b'{"id":%b,"title":%b,"text":%b,"source":%b,"meta":%b}' % (
            _json_string(self.id),
            _json_string(self.title),
            _json_string(self.text),
            _json_string(self.source),
            _ENCODE(dict(self.meta)).encode(),
        )


def _json_string(text: str) -> bytes:
    """What `json` gives, three times as fast for text of some length without odd control characters."""
    line = text.encode()
    if len(line.translate(None, _ODD_CONTROLS)) != len(line):
        return _ENCODE(text).encode()
    return b'"%b"' % line.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


class DocumentWriter:
    """Context manager that writes a documents file; the file appears under its name only when all is written.

    Leaving with an error, also an interrupt, removes what was written and leaves an earlier file untouched.
    The bytes depend only on the documents and the version of zstandard.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the context is entered."""
        self._path = path
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        file = self._cleanup.enter_context(atomic_file(self._path))
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True, threads=ZSTD_THREADS)
        self._stream = self._cleanup.enter_context(compressor.stream_writer(file, closefd=False))
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.__exit__(error_type, error, traceback)

    def write(self, document: Document) -> None:
        """Appends one document."""
        self.write_line(document.to_json())

    def write_line(self, line: bytes) -> None:
        """Appends what `Document.to_json` gave earlier; or several such lines with newlines between them."""
        self._stream.write(line + b"\n")

    def write_block(self, block: bytes) -> None:
        """Appends a part of several such lines that follow each other, each with its newline."""
        self._stream.write(block)


def read_documents(paths: Sequence[Path | str]) -> Iterator[Document]:
    """The documents of JSONL files or glob patterns, plain, gzip, xz or zstd, in order, in constant memory.

    Each line is an object with "text" (required, a string) and optionally "id" (string or integer; by default
    FILE:LINE), "title", "source" (by default the file's name) and "meta" (an object). Other keys, and a "meta" that is
    no object, go into `Document.meta`. Blank lines are passed over. Missing files are reported at once, by
    CorpusError; a line that cannot be used raises DamagedFileError with file and line when it is reached.
    """
    files = expand_inputs(paths)
    return (document for path in files for document in _read_file(path))


def _read_file(path: Path) -> Iterator[Document]:
    found = False
    with DecompressedFile(path) as raw, io.BufferedReader(raw, READ_BUFFER_BYTES) as lines:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            found = True
            yield parse_document(path, number, line)
    if not found:
        raise DamagedFileError(
            path,
            "empty",
            "expected one JSON object per line, found no content. Leave the file out or make it again.",
        )


def parse_document(path: Path, number: int, line: bytes) -> Document:
    """The document in line `number` (from 1) of a file, see `read_documents`; raises DamagedFileError."""
    fields = parse_object(path, number, line)
    if "text" not in fields:
        raise bad_line(path, number, f"expected a key 'text', found the keys {sorted(fields)}")
    text = _string(path, number, fields, "text", "")
    identifier = fields.get("id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        fields["id"] = str(identifier)
    extra: dict[str, object] = {key: value for key, value in fields.items() if key not in KNOWN_KEYS}
    meta = fields.get("meta")
    if isinstance(meta, dict):
        extra = {**meta, **extra}
    elif meta is not None:
        extra["meta"] = meta
    return Document(
        id=_string(path, number, fields, "id", f"{path.name}:{number}"),
        title=_string(path, number, fields, "title", ""),
        text=text,
        source=_string(path, number, fields, "source", path.name),
        meta=extra,
    )


def _string(path: Path, number: int, fields: dict[str, object], key: str, default: str) -> str:
    value = fields.get(key)
    return default if value is None and key != "text" else parse_string(path, number, key, value)
