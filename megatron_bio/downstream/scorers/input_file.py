"""A file of gold data or predictions: its text, plain or gzip, with lines to name in errors and the hash of its bytes."""

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from megatron_bio.downstream.scorers.errors import ScoringError

_GZIP = b"\x1f\x8b"
_NAMED = 3


class JsonObject(dict[str, Any]):
    """An object of JSON that remembers which keys it had more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        times = Counter(key for key, _ in pairs)
        self.repeated = [key for key, number in times.items() if number > 1]


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """The whole text of a file."""

    path: Path
    text: str
    sha256: str
    """Of the bytes on disk, so of the compressed ones if the file is compressed."""

    @classmethod
    def read(cls, path: Path) -> "InputFile":
        """Read UTF-8 text, plain or gzip. Raises ScoringError if that is not possible or if there is nothing in it."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ScoringError(f"{path}: cannot be read: {error.strerror or error}.") from error
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            content = gzip.decompress(data) if data.startswith(_GZIP) else data
            text = content.decode("utf-8-sig")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ScoringError(f"{path}: damaged gzip data ({error}). Copy or download it again.") from error
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ScoringError(
                f"{path}, line {line}: expected UTF-8, found the byte 0x{content[error.start]:02x}. Convert the file to UTF-8."
            ) from error
        if not text.strip():
            raise ScoringError(f"{path}: the file is empty. Expected gold data or predictions.")
        return cls(path=path, text=text, sha256=sha256)

    def lines(self) -> list[tuple[int, str]]:
        """Return each line with its number from 1, without its line end, empty ones too."""
        # Not str.splitlines: it would cut inside tokens at the other separators that Unicode has.
        return [(number, line.rstrip("\r")) for number, line in enumerate(self.text.split("\n"), 1)]

    def json(self) -> Any:
        """Return the value, with objects as `JsonObject`; raises ScoringError with the line if it is not JSON."""
        try:
            return json.loads(self.text, object_pairs_hook=JsonObject)
        except json.JSONDecodeError as error:
            self.refuse(f"expected JSON, found a fault: {error.msg}.", error.lineno)
        except RecursionError:
            self.refuse("expected JSON of this task, found one that is nested too deeply.")

    def line_of(self, name: str, occurrence: int = 1) -> int | None:
        """Return the line where a name is a key of JSON, or the value of "id", for the first, second… time, if there is one."""
        forms = "|".join(re.escape(json.dumps(name, ensure_ascii=ascii_only)) for ascii_only in (True, False))
        places = list(re.finditer(rf'"id"\s*:\s*(?={forms})|(?:{forms})(?=\s*:)', self.text))
        if len(places) < occurrence:
            return None
        return self.text.count("\n", 0, places[occurrence - 1].start()) + 1

    def refuse(self, message: str, line: int | None = None) -> NoReturn:
        """Raise a ScoringError that begins with the file and the line."""
        raise ScoringError(f"{self.path}{f', line {line}' if line else ''}: {message}")


def string_map(file: InputFile, value: Any, what: str) -> dict[str, Any]:
    """Return an object of JSON whose keys are ids, none of them twice; `what` says what was expected."""
    if not isinstance(value, JsonObject):
        file.refuse(f"expected {what}, found {kind_of(value)}.", 1)
    for key in value.repeated:
        file.refuse(
            f"the id {key!r} is there a second time. Give one value for each id.", file.line_of(key, 2)
        )
    if not value:
        file.refuse(f"expected {what}, found an empty one.")
    return value


def kind_of(value: Any) -> str:
    """Name a value of JSON in the words of JSON."""
    kinds = {
        JsonObject: "an object",
        list: "an array",
        str: "a string",
        bool: "a truth value",
        type(None): "null",
    }
    return kinds.get(type(value), "a number")


def require_same_ids(
    gold: Collection[str], gold_file: InputFile, predictions: Collection[str], predictions_file: InputFile
) -> None:
    """Refuse predictions without an id of the gold data, or with one that is not there."""
    extra = [name for name in predictions if name not in gold]
    if extra:
        predictions_file.refuse(
            f"{_listed(extra)} not in {gold_file.path}. Is that the gold file of these predictions?",
            predictions_file.line_of(extra[0]),
        )
    missing = [name for name in gold if name not in predictions]
    if missing:
        line = gold_file.line_of(missing[0])
        predictions_file.refuse(
            f"{_listed(missing)} missing, of {len(gold):,} in {gold_file.path}{f' (line {line})' if line else ''}. "
            "Every question needs a prediction; one without an answer is an empty one."
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"the id{'s' if len(names) > 1 else ''} {shown}{more} {'are' if len(names) > 1 else 'is'}"
