"""Changes to an lxml tree that leave the text around intact."""

from typing import Any


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
