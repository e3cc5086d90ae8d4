"""Fields of JSON that others may have changed: each is looked at before it is used."""

import math
from collections.abc import Iterator
from typing import Any


class DamagedFieldError(Exception):
    """Where in the file, what was expected, and what was found."""


def field(content: Any, name: str, expected: Any, above: str = "") -> Any:
    """The field of an object. Raises DamagedFieldError if it is not there or of another type; truths are no numbers."""
    value = content.get(name) if isinstance(content, dict) else None
    fits = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    if not fits or (isinstance(value, float) and not math.isfinite(value)):
        found = content.get(name, "nothing") if isinstance(content, dict) else content
        names = getattr(expected, "__name__", None) or " or ".join(each.__name__ for each in expected)
        raise DamagedFieldError(f"{above}{name}: expected {names}, found {str(found)[:60]!r}")
    return value


def field_or_none(content: Any, name: str, expected: Any, above: str = "") -> Any:
    """The field of an object; None where it is null or not there."""
    if isinstance(content, dict) and content.get(name) is None:
        return None
    return field(content, name, expected, above)


def rows(content: Any, name: str, above: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of an array, each with what stands before the names of its fields in messages."""
    for number, row in enumerate(field(content, name, list, above)):
        if not isinstance(row, dict):
            raise DamagedFieldError(f"{above}{name}[{number}]: expected dict, found {str(row)[:60]!r}")
        yield row, f"{above}{name}[{number}]."
