"""What `megatron-bio inspect` says of a file or folder, whatever it is."""

from dataclasses import dataclass, field
from typing import Any

from megatron_bio.config.errors import UserError

NOT_COMPARED = "not compared; --verify does"


class InspectionError(UserError):
    """The path holds nothing that is understood, or what it holds is damaged."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What something is."""

    kind: str
    facts: dict[str, Any]
    """Name to a value that JSON can hold, in the order to show."""
    tensors: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Name to full shape."""
    problems: tuple[str, ...] = ()
    """What --verify found wrong."""


def verdict(problems: tuple[str, ...]) -> str:
    """Whether checksums agree, in words."""
    return "wrong" if problems else "all right"
