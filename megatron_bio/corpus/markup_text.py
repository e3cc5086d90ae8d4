"""An XML element with inline markup → its text, with the spaces of the source and superscripts that stay apart.

`10<sup>6</sup>` → `10⁶`, `<i>E. coli</i> in` → `E. coli in`, `<u>&lt;</u>` → `≤`, MathML as in `mathml`.
"""

from typing import Any

from lxml import etree

from megatron_bio.corpus.characters import clean, named_entity, subscript, superscript, underlined
from megatron_bio.corpus.mathml import local_name, math_text


def element_text(element: Any) -> str:
    """All text inside `element`, cleaned; raises UnknownEntityError for an entity that neither XML nor HTML defines."""
    return clean(_inline(element))


def _inline(element: Any) -> str:
    if not len(element):
        return element.text or ""
    pieces = [element.text or ""]
    for child in element:
        if local_name(child) == "sub":
            pieces[-1] = without_broken_line(pieces[-1])
        pieces.append(_rendered(child))
        pieces.append(child.tail or "")
    return "".join(pieces)


def without_broken_line(text: str) -> str:
    """The text before a subscript; a line that ends there was broken by a program that indents, nobody prints it so."""
    core = text.rstrip()
    return core if "\n" in text[len(core) :] else text


def _rendered(child: Any) -> str:
    if child.tag is etree.Entity:
        return named_entity(child.name)
    name = local_name(child)
    if name == "sup":
        return superscript(_inline(child))
    if name == "sub":
        return subscript(_inline(child))
    if name == "u":
        return underlined(_inline(child))
    if name == "math":
        return math_text(child)
    if name in ("br", "break"):
        return f" {_inline(child)}"
    if name == "DispFormula":
        return f" {_inline(child)} "
    return _inline(child)
