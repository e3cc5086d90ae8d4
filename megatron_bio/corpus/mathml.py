"""Presentation MathML → one line of text: `msup` and `msub` become superscripts and subscripts, nothing is dropped.

`<msup><mi>x</mi><mn>2</mn></msup>` → `x²`, `<mfrac>` → `a/b`, prescripts as in `¹²⁹Xe`, accents as in `V̇`.
Elements that are not known are rendered as a row of their children. Standard: MathML Core and MathML 3, chapter 3.
"""

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

from lxml import etree

from megatron_bio.corpus.characters import named_entity, subscript, superscript

_TOKENS = frozenset({"mi", "mn", "mo", "ms", "mtext"})
_SILENT = frozenset({"mphantom", "none", "mprescripts"})
_SCRIPTED = frozenset({"msub", "msup", "msubsup", "munder", "mover", "munderover"})
_RELATIONS = frozenset("=<>≤≥≦≧⩽⩾≪≫≈≃≅≠≡∼∝→←↔⇒⇔∈×±÷")
_INVISIBLE_OPERATORS = re.compile("[\u2061-\u2064]")
_SIMPLE = re.compile(r"[^\W_]+(\.\d+)?")
_ACCENTS: Final = MappingProxyType(
    dict.fromkeys(".˙·", "\u0307")
    | dict.fromkeys("¨", "\u0308")
    | dict.fromkeys("¯‾-_—―−ˉ", "\u0304")
    | dict.fromkeys("^ˆ", "\u0302")
    | dict.fromkeys("~˜∼", "\u0303")
    | dict.fromkeys("→⃗", "\u20d7")
)


def local_name(element: Any) -> str:
    """The tag without its namespace; empty for what is no element (entities)."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def math_text(element: Any) -> str:
    """The text of a `math` element or of any part of one, not yet cleaned; raises UnknownEntityError."""
    name = local_name(element)
    if name in _TOKENS:
        return _token(element)
    if name in _SILENT:
        return ""
    if name == "mspace":
        return " "
    children = list(element)
    if name == "semantics":
        return math_text(children[0]) if children else ""
    parts = [math_text(child) for child in children]
    if name in _SCRIPTED:
        return _scripted(name, parts)
    if name == "mfrac" and len(parts) == 2:
        return f"{_grouped(parts[0])}/{_grouped(parts[1])}"
    if name == "mroot" and len(parts) == 2:
        return f"{superscript(parts[1])}√{_grouped(parts[0])}"
    if name == "msqrt":
        return f"√{_grouped(_row(children, parts))}"
    if name == "mmultiscripts" and parts:
        return _multiscripts(children, parts)
    if name == "mfenced":
        return _fenced(element, parts)
    if name == "mtr":
        return " ".join(parts)
    if name == "mtable":
        return "; ".join(parts)
    return _row(children, parts)


def _token(element: Any) -> str:
    pieces = [element.text or ""]
    for child in element:
        pieces.append(named_entity(child.name) if child.tag is etree.Entity else math_text(child))
        pieces.append(child.tail or "")
    # MathML trims these four only: a no-break space at the edge of an mtext is meant.
    return _INVISIBLE_OPERATORS.sub("", "".join(pieces)).strip(" \t\r\n")


def _row(children: Sequence[Any], parts: Sequence[str]) -> str:
    text = ""
    for child, part in zip(children, parts, strict=True):
        is_relation = local_name(child) == "mo" and part in _RELATIONS
        text += f" {part} " if is_relation and text else part
    return text


def _scripted(name: str, parts: Sequence[str]) -> str:
    if name == "mover" and len(parts) == 2 and len(parts[0]) == 1 and parts[1] in _ACCENTS:
        return parts[0] + _ACCENTS[parts[1]]
    scripts = {"msub": "_", "munder": "_", "msup": "^", "mover": "^"}.get(name, "_^")
    text = parts[0] if parts else ""
    for mark, part in zip(scripts, parts[1:], strict=False):
        text += subscript(part) if mark == "_" else superscript(part)
    return text + "".join(parts[1 + len(scripts) :])


def _multiscripts(children: Sequence[Any], parts: Sequence[str]) -> str:
    names = [local_name(child) for child in children]
    split = names.index("mprescripts") if "mprescripts" in names else len(parts)
    after = "".join(_pairs(parts[1:split], subscript_first=True))
    before = "".join(_pairs(parts[split + 1 :], subscript_first=False))
    return before + parts[0] + after


def _pairs(scripts: Sequence[str], *, subscript_first: bool) -> list[str]:
    rendered: list[str] = []
    for index in range(0, len(scripts), 2):
        pair = [subscript(scripts[index]), *(superscript(part) for part in scripts[index + 1 : index + 2])]
        rendered.extend(pair if subscript_first else reversed(pair))
    return rendered


def _fenced(element: Any, parts: Sequence[str]) -> str:
    separators = "".join(element.get("separators", ",").split())
    text = ""
    for index, part in enumerate(parts):
        if index and separators:
            text += separators[min(index - 1, len(separators) - 1)] + " "
        text += part
    return f"{element.get('open', '(')}{text}{element.get('close', ')')}"


def _grouped(text: str) -> str:
    return text if _SIMPLE.fullmatch(text.strip()) else f"({text.strip()})"
