"""How far a run of `preprocess` has come, kept in its work folder, so that the next one goes on from there."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.tokens.growing_tokens import TokenCounts

STATE = "state.json"


@dataclass
class PartProgress:
    """What one output has so far."""

    counts: TokenCounts = field(default_factory=TokenCounts)
    unknown_tokens: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass
class Progress:
    """A place in the input, and what was made of all that lies before it."""

    file: int = 0
    """Files before this one are done."""
    lines: int = 0
    """So many lines of this one are done."""
    parts: dict[int, PartProgress] = field(default_factory=dict)
    """By number of the output."""
    keys_used: set[str] = field(default_factory=set)
    keys_found: set[str] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "file": self.file,
            "lines": self.lines,
            "parts": {
                str(number): {
                    "counts": asdict(part.counts),
                    "unknown_tokens": part.unknown_tokens,
                    "skipped": dict(part.skipped),
                }
                for number, part in self.parts.items()
            },
            "keys_used": sorted(self.keys_used),
            "keys_found": sorted(self.keys_found),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            file=content["file"],
            lines=content["lines"],
            parts={
                int(number): PartProgress(
                    counts=TokenCounts(**part["counts"]),
                    unknown_tokens=part["unknown_tokens"],
                    skipped=Counter(part["skipped"]),
                )
                for number, part in content["parts"].items()
            },
            keys_used=set(content["keys_used"]),
            keys_found=set(content["keys_found"]),
        )


@dataclass(frozen=True, kw_only=True)
class State:
    """The content of state.json. What it speaks of is on the disk."""

    made_from: str
    """Fingerprint of tokenizer and options."""
    files: Sequence[object]
    """Identity of each file of the input."""
    places: Sequence[Progress]
    """Where to go on, the furthest first; the last one is the beginning of a file, in case that file is mended."""
    renames: Sequence[tuple[str, str]] = ()
    """When all is written: names in the work folder and beside it, in the order in which they are given."""

    def write(self, folder: Path) -> None:
        """Put it into the work folder; raises CorpusError when the disk refuses."""
        content = {
            "made_from": self.made_from,
            "files": self.files,
            "places": [place.to_json() for place in self.places],
            "renames": self.renames,
        }
        with atomic_file(folder / STATE) as file:
            file.write(json.dumps(content).encode())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What an earlier run left; None if there is nothing, or nothing that can be understood."""
        try:
            content = json.loads((folder / STATE).read_bytes())
            return cls(
                made_from=content["made_from"],
                files=content["files"],
                places=[Progress.from_json(place) for place in content["places"]],
                renames=[(str(source), str(target)) for source, target in content["renames"]],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def places_to_go_on(self, made_from: str, files: Sequence[object]) -> list[Progress]:
        """Those of the places before which nothing has changed; empty if there is none."""
        if self.made_from != made_from:
            return []
        return [
            place
            for place in self.places
            if (begun := place.file + (place.lines > 0))
            and place.file < len(files)
            and list(self.files[:begun]) == list(files[:begun])
        ]
