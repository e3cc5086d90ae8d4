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
_NUMBER = re.compile(r"[\[(]?\d{1,4}[a-z]?(?:[\s,;–‐‑−-]+\d{1,4})*[\])]?")
_GLUED_AFTER = re.compile(r"[^\W\d_)\"”’%.]|[)\"”’%.]")


def drop_marks_standing_high(holder: Any) -> None:
    """Removes them below `holder`."""
    for reference in list(holder.iter("xref")):
        if reference.get("ref-type") not in MARK_TYPES or reference.getparent() is None:
            continue
        parent = reference.getparent()
        if parent.tag == "sup":
            _drop_in_superscript(parent)
        elif _holds_only_superscript(reference):
            _drop_run(reference, following=_is_high_mark)
        elif _is_glued_number(reference):
            _drop_run(reference, following=_is_number_mark)


def _drop_in_superscript(superscript: Any) -> None:
    """The whole `sup` if it holds nothing but marks, else only the marks."""
    marks = [child for child in superscript if child.tag == "xref" and child.get("ref-type") in MARK_TYPES]
    outside = (superscript.text or "") + "".join(child.tail or "" for child in superscript)
    if len(marks) == len(superscript) and _OF_A_MARK.fullmatch(outside):
        if superscript.getparent() is not None:
            replace(superscript, "")
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
    replace(mark, "")


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


def _is_glued_number(reference: Any) -> bool:
    before = reference.getprevious()
    text = reference.getparent().text if before is None else before.tail
    if not text:
        text = "" if before is None else "".join(before.itertext())
    return bool(text) and _GLUED_AFTER.fullmatch(text[-1]) is not None and _is_number_mark(reference)
