"""A JSON object of a benchmark with its place in the file, so that a value of the wrong kind is named where it stands."""

import json
from collections.abc import Iterator, Mapping
from typing import Self

from megatron_bio.corpus.decontamination.benchmark import BenchmarkFile, shown
from megatron_bio.corpus.errors import DamagedFileError


class Fields:
    """One object. Each method raises DamagedFileError when the value is missing or of another kind."""

    def __init__(self, file: BenchmarkFile, place: str, value: object) -> None:
        """`place` is a line or a path, `questions[3].snippets[0]`."""
        if not isinstance(value, dict):
            raise file.damaged(place or "line 1", f"a JSON object, found {shown(value)}")
        self.file, self.place = file, place
        self.values: Mapping[str, object] = value

    def string(self, key: str) -> str:
        """The text under `key`."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text", value)
        return value

    def strings(self, key: str) -> list[str]:
        """The texts in the list under `key`; a missing list is empty."""
        texts = self._list(key)
        for text in texts:
            if not isinstance(text, str):
                raise self._wrong(key, "a list of texts", text)
        return [str(text) for text in texts]

    def objects(self, key: str) -> Iterator[Self]:
        """The objects in the list under `key`; a missing list is empty."""
        for index, value in enumerate(self._list(key)):
            yield type(self)(self.file, f"{self.place}.{key}[{index}]".lstrip("."), value)

    def _list(self, key: str) -> list[object]:
        value = self.values.get(key) or []
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return value

    def _wrong(self, key: str, expected: str, found: object) -> DamagedFileError:
        return self.file.damaged(self.place or "line 1", f"{expected} under '{key}', found {shown(found)}")


def is_complete_object(line: str) -> bool:
    """Whether a line is a JSON object by itself."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def parsed_json(file: BenchmarkFile, text: str, first_line: int) -> object:
    """What `text`, which starts at `first_line` of `file`, holds. Raises DamagedFileError with line and column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {first_line + error.lineno - 1}, column {error.colno}"
        raise file.damaged(place, f"valid JSON, found: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise file.damaged(
            f"line {first_line}", f"JSON of reasonable depth and numbers, found: {error}"
        ) from error
