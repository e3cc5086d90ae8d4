"""One line of a documents file → its id and the texts under the keys asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_bio.corpus.json_lines import parse_object, parse_string

TITLE_KEY = "title"
"""What stands under it is one sentence, however it looks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentTexts:
    """What of a document becomes tokens."""

    id: str
    """Its id; without one FILE:LINE."""
    texts: dict[str, str]
    """The texts that it has, by key, in the order of the keys."""
    keys: tuple[str, ...]
    """All keys of the line."""


def parse_texts(path: Path, number: int, line: bytes, keys: Sequence[str]) -> DocumentTexts:
    """Line `number` (from 1) of a file; raises DamagedFileError. A key that is missing or null is no text."""
    fields = parse_object(path, number, line)
    texts = {
        key: parse_string(path, number, key, value) for key in keys if (value := fields.get(key)) is not None
    }
    identifier = fields.get("id")
    if identifier is None:
        identifier = f"{path.name}:{number}"
    elif isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    return DocumentTexts(id=parse_string(path, number, "id", identifier), texts=texts, keys=tuple(fields))
