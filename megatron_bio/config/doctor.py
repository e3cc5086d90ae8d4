"""Options of the verb that describes the machine."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """What this machine has and what can be done on it."""

    json: bool = False
    """Print JSON instead of a table."""
