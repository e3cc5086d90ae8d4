"""The texts to work on: from the command line, a file or stdin, each with the place that messages name."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_bio.generation.errors import GenerationError


@dataclass(frozen=True)
class Text:
    """One text of the user's."""

    text: str
    place: str
    """Where it stands: --prompts 3, prompts.txt line 7."""
    id: Any = None
    """The "id" of its JSON object, given back with the result."""


def read_texts(name: str, given: Sequence[str], file: Path | None, keys: Sequence[str]) -> list[Text]:
    """Return the texts of the option `name`: those given, or the lines of `file`, or those of stdin.

    A line of a file called .jsonl is a JSON object whose text is under the first of `keys` that it has. Raises
    `GenerationError` for a file that cannot be read, and for no text at all.
    """
    if given:
        texts = [Text(text, f"--{name} {number}") for number, text in enumerate(given, start=1)]
    elif file is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise GenerationError(f"Nothing to work on: give --{name}, --{name}_file, or lines on stdin.")
        texts = list(_lines(sys.stdin.buffer, "stdin"))
    else:
        texts = list(_read_file(f"--{name}_file", file, keys))
    if not texts:
        raise GenerationError(f"{file or 'stdin'}: expected at least one line, found none.")
    return texts


def _read_file(option: str, file: Path, keys: Sequence[str]) -> Iterator[Text]:
    try:
        with file.open("rb") as stream:
            lines = _lines(stream, str(file))
            yield from (_from_json(line, keys) for line in lines) if file.suffix == ".jsonl" else lines
    except OSError as error:
        raise GenerationError(
            f"{option} {file}: expected a readable file; found: {error.strerror}."
        ) from error


def _lines(stream: Iterable[bytes], where: str) -> Iterator[Text]:
    for number, line in enumerate(stream, start=1):
        place = f"{where} line {number}"
        try:
            text = line.decode("utf-8").removeprefix("\ufeff" if number == 1 else "")
        except UnicodeDecodeError as error:
            raise GenerationError(
                f"{place}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}; convert it (iconv -t utf-8)."
            ) from error
        yield Text(text.rstrip("\r\n"), place)


def _from_json(line: Text, keys: Sequence[str]) -> Text:
    wanted = " or ".join(f'"{key}"' for key in keys)
    try:
        content = json.loads(line.text)
    except ValueError as error:
        raise GenerationError(
            f"{line.place}: expected a JSON object with {wanted}; found: {error}."
        ) from error
    found = content if isinstance(content, dict) else {}
    text = next((found[key] for key in keys if key in found), None)
    if not isinstance(text, str):
        raise GenerationError(
            f"{line.place}: expected a JSON object with a text under {wanted}, found {line.text[:60]!r}."
        )
    if half := next((char for char in text if "\ud800" <= char <= "\udfff"), None):
        raise GenerationError(
            f"{line.place}: expected whole characters, found \\u{ord(half):04x}, half of one; write the file anew with "
            f"ensure_ascii=False, or leave the character out."
        )
    return Text(text, line.place, found.get("id"))
