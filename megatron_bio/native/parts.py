"""The compiled module, if it was built."""

from importlib import import_module
from types import ModuleType
from typing import Final


def _load() -> tuple[ModuleType | None, str]:
    try:
        return import_module("megatron_bio.native._compiled"), ""
    except ImportError as error:
        return None, str(error)


_LOADED: Final = _load()
compiled: Final = _LOADED[0]
"""The module, or None."""
reason: Final = _LOADED[1]
"""Why it is not there; empty if it is."""
NOTICE: Final = f"the compiled parts are not there ({reason}); the same is done more slowly. megatron-bio doctor says more."
"""What a verb that would use them says without them."""
