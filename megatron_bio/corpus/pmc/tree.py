"""Safe parsing, and changes to an lxml tree that leave the text around intact."""

from types import MappingProxyType
from typing import Any, Final

SAFE_PARSING: Final = MappingProxyType(
    {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
    | {"remove_comments": True, "remove_pis": True}
)
"""Options of lxml's parser: entities are never expanded, no other file or address is opened."""


def append_before(element: Any, text: str) -> None:
    """Adds text directly before `element`."""
    before = element.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + text
    else:
        parent = element.getparent()
        parent.text = (parent.text or "") + text


def replace(element: Any, text: str) -> None:
    """Puts text in the place of `element`; the text after it stays."""
    text += element.tail or ""
    if text:
        append_before(element, text)
    element.getparent().remove(element)


def set_text(element: Any, text: str) -> None:
    """Makes text the whole content of `element`; the text after it stays."""
    del element[:]
    element.text = text
