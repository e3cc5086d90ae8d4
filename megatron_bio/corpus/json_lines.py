"""One line of a JSONL file → the fields in it, or an error that shows what is wrong where."""

import json
from collections import Counter
from pathlib import Path

from megatron_bio.corpus.errors import DamagedFileError

SHOWN_CHARACTERS = 60


class _Repeating(dict[str, object]):
    """An object that names a key twice; `json` alone would keep the last value without a word."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.key = Counter(name for name, _ in pairs).most_common(1)[0][0]


def _as_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _Repeating(pairs)


_DECODE = json.JSONDecoder(object_pairs_hook=_as_object).decode


def parse_object(path: Path, number: int, line: bytes) -> dict[str, object]:
    """The object in line `number`, counted from 1; raises DamagedFileError."""
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        fields = _DECODE(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise bad_line(
            path,
            number,
            f"expected UTF-8, found the byte 0x{line[error.start]:02x} at column {error.start + 1}. Convert the file "
            "to UTF-8, for example with iconv",
        ) from error
    except json.JSONDecodeError as error:
        raise bad_line(
            path,
            number,
            f"expected one complete JSON object, found {error.msg} at column {error.colno}: {shown(line)}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise bad_line(
            path, number, f"expected one JSON object, found one nested or numbered beyond measure: {error}"
        ) from error
    if isinstance(fields, _Repeating):
        raise bad_line(
            path, number, f"expected every key once, found '{shown(fields.key)}' twice: {shown(line)}"
        )
    if not isinstance(fields, dict):
        raise bad_line(path, number, f"expected a JSON object with a key 'text', found {shown(line)}")
    return fields


def parse_string(path: Path, number: int, key: str, value: object) -> str:
    """`value`, if it is text that can be written as UTF-8; raises DamagedFileError."""
    if not isinstance(value, str):
        raise bad_line(path, number, f"expected a string under '{key}', found {shown(json.dumps(value))}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise bad_line(
            path,
            number,
            f"expected Unicode text under '{key}', found half of a surrogate pair at character {error.start + 1}",
        ) from error
    return value


def shown(found: bytes | str, limit: int = SHOWN_CHARACTERS) -> str:
    """The beginning of what was found, for messages."""
    text = found.decode("utf-8", errors="replace") if isinstance(found, bytes) else found
    text = text.strip()
    return text if len(text) <= limit else f"{text[:limit]}..."


def bad_line(path: Path, number: int, story: str) -> DamagedFileError:
    """The error for a line that cannot be used."""
    return DamagedFileError(path, "malformed JSONL", f"line {number}: {story}. Correct or remove this line.")
