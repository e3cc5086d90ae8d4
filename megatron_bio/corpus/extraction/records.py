"""What the readers of all sources give, record by record, and what a reader is.

The records are made by the ten million and not frozen, which makes that twice as fast; nobody changes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(kw_only=True, slots=True)
class Kept:
    """A record that became a document.

    Of the records with one `key` (PMID, PMCID) only the highest `version` gets into the output, of equal ones the last;
    records without a key all do.
    """

    key: int | None
    version: int
    words: int
    characters: int
    line: bytes
    """What `Document.to_json` gives."""


@dataclass(kw_only=True, slots=True)
class LeftOut:
    """A record that the options refuse, counted under `reason`; with a key it still takes the place of earlier ones."""

    key: int | None
    version: int
    reason: str


@dataclass(kw_only=True, slots=True)
class Withdrawn:
    """A record that its publisher withdrew before; `version` None withdraws all versions."""

    key: int
    version: int | None


@dataclass(kw_only=True, slots=True)
class Lost:
    """Damage: `records` records that cannot be read (0: unknown how many), with the file, the place in it and the story.

    `--on_error stop` raises it as DamagedFileError, `keep` counts and names it.
    """

    path: Path
    reason: str
    message: str
    """Place, what was expected, what was found, what to do; without the path."""
    records: int = 1


Record = Kept | LeftOut | Withdrawn | Lost


class Piece(Protocol):
    """A part of the input that one worker reads by itself; it travels to another process by pickle."""

    @property
    def name(self) -> str:
        """Letters, digits and hyphens; unique in the job and the same in every run of it."""

    @property
    def place(self) -> str:
        """What it is, for messages."""

    @property
    def identity(self) -> object:
        """What JSON can hold and changes whenever the input changes (see `file_identity`)."""

    @property
    def progress_bytes(self) -> int:
        """How much of the input it is, for the progress bar."""

    def records(self) -> Iterator[Record]:
        """The records in the order of the input; damage is a `Lost`, or a DamagedFileError where reading ends."""
