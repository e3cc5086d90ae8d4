"""Takes citation marks that stand high out of a tree: `word<sup>12</sup>` would be read as `word¹²`.

Marks that are printed on the line, `[1, 2]`, `(3)`, `(Smith et al., 2010)`, stay as printed. A mark stands high when it is
in a `sup` or holds one, and when it is a number glued to the word before it, as some publishers write it. A list of
marks, `<sup>1</sup>,<sup>2</sup>–<sup>4</sup>`, goes as a whole, with what is between them.
"""

import re
from typing import Any, Final

from megatron_bio.corpus.pmc.tree import replace

MARK_TYPES: Final = frozenset({"bibr", "ref", "fn", "table-fn", "aff", "corresp", "author-notes"})

_BETWEEN_MARKS = re.compile(r"[\s,;:.–‐‑−—\-]*")
_OF_A_MARK = re.compile(r"[\s\d,;:.–‐‑−—\-\[\]()*†‡§¶#∗]*")
_NUMBER = re.compile(r"\d{1,4}[a-z]?(?:[\s,;–‐‑−-]+\d{1,4})*")
_GLUED_AFTER = re.compile(r"[^\W\d_)\"”’%.]|[)\"”’%.]")


def drop_marks_standing_high(holder: Any) -> None:
    """Removes them below `holder`."""
    for superscript in list(holder.iterdescendants("sup")):
        parent = superscript.getparent()
        if parent is None:
            continue
        if _is_mark(parent):
            if _holds_only_superscript(parent) and parent.getparent() is not None:
                _drop_run(parent, following=_is_high_mark)
        elif len(superscript):
            _drop_in_superscript(superscript)
    for reference in list(holder.iterdescendants("xref")):
        if reference.getparent() is not None and _is_mark(reference) and _is_glued_number(reference):
            _drop_run(reference, following=_is_number_mark)


def _drop_in_superscript(superscript: Any) -> None:
    """The whole `sup` if it holds nothing but marks, else only the marks."""
    marks = [child for child in superscript if _is_mark(child)]
    if not marks:
        return
    outside = (superscript.text or "") + "".join(child.tail or "" for child in superscript)
    if len(marks) == len(superscript) and _OF_A_MARK.fullmatch(outside):
        _drop(superscript)
        return
    for mark in marks:
        replace(mark, "")


def _drop_run(first: Any, following: Any) -> None:
    """`first` and the marks after it that only punctuation parts from it."""
    mark = first
    while True:
        after = mark.getnext()
        if after is None or not _BETWEEN_MARKS.fullmatch(mark.tail or ""):
            break
        if after.tag == "sup" and _BETWEEN_MARKS.fullmatch("".join(after.itertext())):
            separator, after = after, after.getnext()
            if after is None or not following(after) or not _BETWEEN_MARKS.fullmatch(separator.tail or ""):
                break
            separator.tail = None
            replace(separator, "")
        elif not following(after):
            break
        mark.tail = None
        replace(mark, "")
        mark = after
    _drop(mark)


def _is_mark(element: Any) -> bool:
    return element.tag == "xref" and element.get("ref-type") in MARK_TYPES


def _is_high_mark(element: Any) -> bool:
    return _is_mark(element) and _holds_only_superscript(element)


def _is_number_mark(element: Any) -> bool:
    return _is_mark(element) and _NUMBER.fullmatch("".join(element.itertext()).strip()) is not None


def _holds_only_superscript(reference: Any) -> bool:
    if not len(reference):
        return False
    return not (reference.text or "").strip() and all(
        child.tag == "sup" and not (child.tail or "").strip(" ,;–-") for child in reference
    )


def takes_mark(character: str) -> bool:
    """True for a character that a number directly after it can be a citation mark of."""
    return _GLUED_AFTER.fullmatch(character) is not None


def _is_glued_number(reference: Any) -> bool:
    before = _text_before(reference)
    return bool(before) and takes_mark(before[-1]) and _is_number_mark(reference)


def _text_before(element: Any) -> str:
    """Some text that ends directly before `element`; empty at the start of its parent."""
    before = element.getprevious()
    if before is None:
        return element.getparent().text or ""
    return before.tail or "".join(before.itertext())


def _drop(mark: Any) -> None:
    """Takes a mark away; of the full stops in `et al.<sup>8</sup>.` one stays."""
    if (mark.tail or "").startswith(".") and _text_before(mark).endswith("."):
        mark.tail = mark.tail[1:]
    replace(mark, "")
