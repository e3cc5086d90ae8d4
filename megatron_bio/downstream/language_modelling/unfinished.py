"""What a run has measured so far: a file with a line for each group of documents, which the next run goes on from."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from megatron_bio.config.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The numbers of one document."""

    id: str
    bytes: int
    """UTF-8 bytes of its text."""
    pieces: int
    """Tokens of its text, special ones left out."""
    unknown: int
    """Those of them that are the unknown token."""
    tokens: int
    """Predicted tokens."""
    nats: float
    """Sum of -ln p over these."""
    right: int
    """Those of them that were the likeliest."""
    words: int
    """Predicted words."""
    predicted_bytes: int | None
    """UTF-8 bytes of what is predicted; None where that is not whole words."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Documents that were computed together."""

    read: int
    """Documents of the files that it covers, those that were left out too."""
    left_out: Mapping[str, int]
    documents: Sequence[Measured]

    def line(self) -> bytes:
        """Return it as a line of the file."""
        return json.dumps(asdict(self), ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> "Group":
        """Return what `line` made a line of; raises ValueError, KeyError or TypeError for anything else."""
        content = json.loads(line)
        return cls(
            read=content["read"],
            left_out=content["left_out"],
            documents=[Measured(**document) for document in content["documents"]],
        )


class Unfinished:
    """The file; a line counts when it is whole, so a kill loses one group at most."""

    def __init__(self, path: Path, made_from: Mapping[str, Any], resume: bool) -> None:
        """Open it, and read what an earlier run of the same command left there.

        Raises `ConfigurationError` if it is of another command.
        """
        self.path = path
        head = json.dumps(made_from, sort_keys=True).encode() + b"\n"
        earlier = path.read_bytes() if resume and path.is_file() else b""
        whole = earlier[: earlier.rfind(b"\n") + 1]
        first, *lines = whole.splitlines(keepends=True) or [b""]
        goes_on = first == head
        if lines and not goes_on:
            raise ConfigurationError(
                f"{path}: expected what an interrupted run of this command left, found that of another one: "
                f"{_difference(first, made_from)}. Give the same options, another --output, or --resume false to throw it away."
            )
        self.groups = [_parse(path, number, line) for number, line in enumerate(lines, start=2)]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if goes_on else "wb")
        self._file.seek(len(whole) if goes_on else 0)
        self._file.truncate()
        if not goes_on:
            self._write(head)

    def add(self, group: Group) -> None:
        """Append a group and bring it to the disk."""
        self.groups.append(group)
        self._write(group.line())

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())


def _parse(path: Path, number: int, line: bytes) -> Group:
    try:
        return Group.parse(line)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path}, line {number}: expected the numbers of documents, found {line[:60]!r}. The file is damaged; begin anew with "
            f"--resume false."
        ) from error


def _difference(first: bytes, made_from: Mapping[str, Any]) -> str:
    try:
        earlier = json.loads(first)
        names = [name for name, value in made_from.items() if earlier.get(name) != value]
        return "; ".join(f"{name} was {earlier.get(name)}, is {made_from[name]}" for name in names)
    except (ValueError, AttributeError):
        return "a file of another kind"
