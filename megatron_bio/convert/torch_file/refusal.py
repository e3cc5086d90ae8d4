"""What a file may not say."""

from typing import Any


class Refused(Exception):  # noqa: N818 -- never leaves the package; it becomes a ConvertError with file and place.
    """The pickle says something that no checkpoint needs, or that cannot be; the message says what."""


class Budget:
    """Bytes that a file may make us allocate beside its tensors, so that a small file cannot fill the memory."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def take(self, size: int) -> None:
        """Count `size` bytes; raises `Refused` if they are too many."""
        self._left -= size
        if self._left < 0:
            raise Refused(f"its values beside the tensors need more than {self._most:,} bytes of memory")


def shown(value: Any) -> str:
    """Return a few words for a value of the file, however large or deep it is."""
    if type(value) in (str, bytes):
        return repr(value[:80])
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) in (tuple, list) and len(value) <= 32 and all(type(item) is int for item in value):
        return repr(value)
    return f"a value of type {type(value).__name__}"
