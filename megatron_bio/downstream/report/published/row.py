"""What is kept of a published number."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """The main measure of one model on one task, in per cent, and measures beside it."""

    task: str
    measure: str
    """Path as in our scores."""
    model: str
    value: float
    source: str
    part: str = "test"
    beside: Mapping[str, float] = field(default_factory=dict)
    """Other measures by path."""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """What was published of `train_on`, `seeds` (their number) and the settings, by the names that ours have; what is not here
    was not published, or not where these numbers come from."""
    remark: str = ""
