"""Options of lxml's parser for files from others: no entity is expanded, no other file or address is opened."""

from types import MappingProxyType
from typing import Final

SAFE_PARSING: Final = MappingProxyType(
    {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
)
TEXT_ONLY: Final = MappingProxyType({"remove_comments": True, "remove_pis": True, **SAFE_PARSING})
"""The same, without comments and processing instructions in the tree."""
