"""An element of an article (title, abstract, body) → its paragraphs, as printed.

The tree is changed in place (marks between paragraphs, superscripts, formulas) and then written out as text at once by
libxml2, which is several times faster than going through every element. Elements: https://jats.nlm.nih.gov/archiving/
"""

from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from lxml import etree

from megatron_bio.corpus.characters import clean, clean_parts, subscript, superscript, underlined
from megatron_bio.corpus.mathml import math_text
from megatron_bio.corpus.pmc.citations import drop_marks_standing_high
from megatron_bio.corpus.pmc.tree import append_before, replace, set_text

PARAGRAPH_MARK: Final = "\ufdd0"
"""A noncharacter, which Unicode keeps out of all text that is exchanged."""

WITH_CAPTION: Final = frozenset(
    {"fig", "fig-group", "table-wrap", "table-wrap-group", "media", "supplementary-material"}
)
FORMULAS: Final = frozenset({"disp-formula", "disp-formula-group", "chem-struct-wrap", "chem-struct"})
APPARATUS: Final = frozenset(
    {
        "ref-list",
        "glossary",
        "fn-group",
        "ack",
        "notes",
        "sec-meta",
        "object-id",
        "permissions",
        "alt-text",
        "long-desc",
    }
    | {
        "table",
        "table-wrap-foot",
        "array",
        "code",
        "preformat",
        "graphic",
        "inline-graphic",
        "tex-math",
        "kwd-group",
    }
    | {"private-char", "contrib-group", "index-term", "floats-group", "back"}
)
LEFT_OUT: Final = tuple(sorted(WITH_CAPTION | FORMULAS | APPARATUS))

NEVER_READ: Final = ("ref-list", "table", "contrib-group")
"""Not even their notes; they are emptied before anything else is done."""
_ONE_AFTER_THE_OTHER = frozenset({"p", "sec", "attrib", "verse-line", "subtitle"})
_SET_APART = frozenset(
    {
        "list",
        "list-item",
        "disp-quote",
        "boxed-text",
        "def-list",
        "def-item",
        "statement",
        "verse-group",
        "speech",
        "fn",
    }
)
_JOINED_OR_PARTED = _ONE_AFTER_THE_OTHER | _SET_APART | {"title", "label", "term", "speaker"}
"""What a paragraph after it is joined to (a label) or has been parted from already."""
_MOVED = "moved-note"
# The same few stand in every article: 2, −1, a, max.
_raised = lru_cache(maxsize=4096)(superscript)
_lowered = lru_cache(maxsize=4096)(subscript)
_CLOSE_UP = tuple(".,;:)]?!%’”")


def paragraphs(holder: Any, captions: bool = False) -> list[str]:
    """The paragraphs below `holder`, cleaned, none empty; `holder` is changed.

    Titles, list items (with their label if it has a letter or digit), quotations and boxed texts are paragraphs of their
    own; footnotes and, if asked for, captions follow the paragraph that they stand in.
    No entities may be left (see `entities`).
    """
    _move_notes(holder)
    if captions:
        _move_captions(holder)
    for element in list(holder.iterdescendants(*LEFT_OUT)):
        _leave_out(element)
    drop_marks_standing_high(holder)
    for element in reversed(list(holder.iterdescendants(*_RENDERED))):
        _render(element)
    text: bytes = etree.tostring(holder, method="text", encoding="utf-8", with_tail=False)
    return clean_parts(text, PARAGRAPH_MARK)


def line(holder: Any) -> str:
    """A title or a keyword: the paragraphs below `holder` as one, without footnotes."""
    if not len(holder):
        return clean(holder.text or "")
    for note in list(holder.iterdescendants("fn")):
        replace(note, "")
    return " ".join(paragraphs(holder))


def _leave_out(element: Any) -> None:
    """What stands on its own lines parts the words around it, even where the file has no space."""
    tail = element.tail or ""
    parent = element.getparent()
    if parent is None:
        return
    parts = element.tag in FORMULAS or element.tag in WITH_CAPTION
    replace(element, " " if parts and not tail.startswith(_CLOSE_UP) else "")


def _move_notes(holder: Any) -> None:
    for note in reversed(list(holder.iterdescendants("fn"))):
        parent = note.getparent()
        if parent is None or parent.tag in ("fn-group", "table-wrap-foot"):
            continue
        for label in note.findall("label"):
            replace(label, "")
        _move_after_block(note, note, holder)


def _move_captions(holder: Any) -> None:
    """`<label>Figure 1.</label><caption><title>T.</title><p>Text.</p></caption>` → `Figure 1. T.`, `Text.`"""
    for float_ in reversed(list(holder.iterdescendants(*WITH_CAPTION))):
        caption = float_.find("caption")
        if caption is None or float_.tag in ("media", "supplementary-material"):
            continue
        label = float_.find("label")
        if label is not None:
            label.tail = None
            first = next(caption.iterchildren("title", "p"), caption)
            first.text = f"{line(label)} {first.text or ''}"
        caption.tail = None
        _move_after_block(caption, float_, holder)


def _move_after_block(element: Any, place: Any, holder: Any) -> None:
    """Moves `element`, without its tail, to the end of the outermost paragraph around `place`, or leaves it after it."""
    block = place
    for ancestor in place.iterancestors():
        if ancestor is holder or ancestor.tag in ("sec", "boxed-text"):
            break
        block = ancestor
    if block is element:
        return
    replacement = etree.Element(_MOVED)
    replacement.text = element.text
    replacement.extend(list(element))
    if element is place:
        replace(element, "")
    else:
        element.getparent().remove(element)
    parent = block.getparent()
    parent.insert(parent.index(block) + 1, replacement)
    replacement.tail, block.tail = block.tail, None


def _paragraph(element: Any) -> None:
    """Text and markup directly before it, in a section or in another paragraph, are parted from it too."""
    before = element.getprevious()
    text = element.getparent().text if before is None else before.tail
    if (text and not text.isspace()) or (before is not None and before.tag not in _JOINED_OR_PARTED):
        append_before(element, PARAGRAPH_MARK)
    element.tail = PARAGRAPH_MARK + (element.tail or "")


def _title(element: Any) -> None:
    """The title of a section of which nothing else is left, a table say, goes too."""
    is_last = element.getnext() is None and not (element.tail or "").strip()
    if is_last and element.getparent().tag in ("sec", "app"):
        set_text(element, "")
    else:
        _paragraph(element)


def _set_apart(element: Any) -> None:
    append_before(element, PARAGRAPH_MARK)
    element.tail = PARAGRAPH_MARK + (element.tail or "")


def _label(element: Any) -> None:
    if any(map(str.isalnum, "".join(element.itertext()))):
        element.tail = " " + (element.tail or "")
    else:
        replace(element, "")


def _term(element: Any) -> None:
    if element.getnext() is not None:
        element.tail = ": " + (element.tail or "").lstrip(" :")


def _superscript(element: Any) -> None:
    set_text(element, _raised("".join(element.itertext()) if len(element) else element.text or ""))


def _subscript(element: Any) -> None:
    set_text(element, _lowered("".join(element.itertext()) if len(element) else element.text or ""))


def _underline(element: Any) -> None:
    set_text(element, underlined("".join(element.itertext())))


def _math(element: Any) -> None:
    set_text(element, math_text(element))


def _space(element: Any) -> None:
    element.text = " "


_RENDERINGS: Final = MappingProxyType[str, Callable[[Any], None]](
    dict.fromkeys(_ONE_AFTER_THE_OTHER, _paragraph)
    | dict.fromkeys(_SET_APART, _set_apart)
    | {"title": _title, _MOVED: _set_apart, "label": _label, "term": _term, "speaker": _term}
    | {"underline": _underline, "sup": _superscript, "sub": _subscript, "break": _space}
)
_MATH = "{*}math"
_RENDERED = (*_RENDERINGS, _MATH)


def _render(element: Any) -> None:
    rendering = _RENDERINGS.get(element.tag)
    if rendering is not None:
        rendering(element)
    else:
        _math(element)
