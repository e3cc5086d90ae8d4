"""The fields of a JSON object or a table's row → a document."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.errors import DamagedFileError
from megatron_bio.corpus.extraction.line_pieces import kept_or_reason
from megatron_bio.corpus.extraction.records import LeftOut, Record
from megatron_bio.corpus.json_lines import parse_string, shown

DEFAULT_ID_KEY = "id"
NAMES_OF_LISTS = frozenset({"languages", "publication_types", "mesh", "keywords"})
LARGEST_DEPTH = 32
LARGEST_WHOLE_FLOAT = 1 << 53
_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class DocumentKeys:
    """Where in the fields a document's parts are; a dot goes one object deeper, unless a key itself has that dot."""

    text: str
    title: str
    id: str
    meta: Mapping[str, str]
    """Name in the document's meta to key."""
    source: str
    minimum_words: int

    def all(self) -> tuple[str, ...]:
        """Every key that is read."""
        return (self.text, self.title, self.id, *self.meta.values())

    def record(self, path: Path, number: int, fields: Mapping[str, object], file_id: str) -> Record:
        """The document, or why there is none; raises DamagedFileError for fields that cannot be used.

        `number` is that of the line or row, from 1, and names a document without id: `FILE_ID:NUMBER`.
        """
        text = value_at(fields, self.text)
        if text is _MISSING:
            raise bad_record(path, number, f"expected a key '{self.text}', found the keys {sorted(fields)}")
        if text is None:
            return LeftOut(key=None, version=1, reason="no text")
        title = value_at(fields, self.title)
        meta = {name: _in_form(name, plain(value_at(fields, key))) for name, key in self.meta.items()}
        document = Document(
            id=self._id(path, number, fields, file_id),
            title="" if _is_empty(title) else _text(path, number, self.title, title),
            text=_text(path, number, self.text, text),
            source=self.source,
            meta={name: value for name, value in meta.items() if value is not None},
        )
        try:
            return kept_or_reason(document, self.minimum_words)
        except UnicodeEncodeError as error:
            raise bad_record(
                path, number, "expected Unicode text under the keys of meta, found half of a surrogate pair"
            ) from error

    def _id(self, path: Path, number: int, fields: Mapping[str, object], file_id: str) -> str:
        value = value_at(fields, self.id)
        if isinstance(value, float):
            value = _whole_number(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not _is_empty(value):
            return _text(path, number, self.id, value)
        if self.id != DEFAULT_ID_KEY:
            raise bad_record(path, number, f"expected an id under '{self.id}', found none")
        return f"{file_id}:{number}"


def value_at(fields: Mapping[str, object], key: str) -> object:
    """The value under a key, or with dots inside objects; a marker that is neither a value nor None where there is none."""
    if key in fields:
        return fields[key]
    first, dot, rest = key.partition(".")
    inside = fields.get(first) if dot else None
    return value_at(inside, rest) if isinstance(inside, Mapping) else _MISSING


def plain(value: object, depth: int = 0) -> object:
    """What JSON can hold: dates by ISO 8601, whole floats as whole numbers, NaN as None, all else as text."""
    if value is _MISSING or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float):
        return _whole_number(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if depth == LARGEST_DEPTH:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inside, depth + 1) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inside, depth + 1) for inside in value]
    return str(value)


def _in_form(name: str, value: object) -> object:
    """One language as a list of one, as all sources give it."""
    return [value] if name in NAMES_OF_LISTS and isinstance(value, str) else value


def _whole_number(value: float) -> float | int:
    """2001 for 2001.0: pandas turns a column of whole numbers with gaps into floats."""
    return int(value) if value.is_integer() and abs(value) < LARGEST_WHOLE_FLOAT else value


def _text(path: Path, number: int, key: str, value: object) -> str:
    if isinstance(value, bytes):  # Parquet by older writers does not say that its strings are text
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad_record(
                path, number, f"expected UTF-8 under '{key}', found the byte 0x{value[error.start]:02x}"
            ) from error
    if not isinstance(value, str):
        raise bad_record(path, number, f"expected a string under '{key}', found {shown(repr(value))}")
    return parse_string(path, number, key, value)


def _is_empty(value: object) -> bool:
    return (
        value is None or value is _MISSING or value == "" or (isinstance(value, float) and math.isnan(value))
    )


def bad_record(path: Path, number: int, story: str) -> DamagedFileError:
    """The error for a line or row that cannot be used."""
    return DamagedFileError(
        path, "unusable record", f"record {number}: {story}. Correct or remove it, or give other keys."
    )
