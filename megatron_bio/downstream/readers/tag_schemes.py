"""Tags of any scheme (IOB1, IOB2, IOBES, BILOU, BMEWO) → IOB2.

Sources: Ramshaw and Marcus 1995 (IOB1), Ratnaparkhi 1998 and CoNLL-2002 (IOB2).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from megatron_bio.downstream.readers.entity_forms import OUTSIDE, UNNAMED_TYPE

Scheme = Literal["IOB1", "IOB2", "IOBES"]
Tag = tuple[str, str]
"""Mark and type: `("B", "Chemical")`; `("O", "")`."""

BEGINNINGS = frozenset("BSUW")
ENDS = frozenset("ESLUW")
MARKS = BEGINNINGS | ENDS | frozenset("IM")


def parsed_tag(text: str) -> Tag | None:
    """Mark and type; None for what is no tag. `B` alone has the type `entity`."""
    if text == OUTSIDE:
        return OUTSIDE, ""
    mark, hyphen, name = text.partition("-")
    if mark not in MARKS or (hyphen and not name):
        return None
    return mark, name or UNNAMED_TYPE


def scheme_of(sentences: Sequence[Sequence[Tag]]) -> Scheme:
    """The scheme of a whole file.

    IOB1 is one in which every B follows a word of an entity of its type, which is all that B means there.
    """
    marks = {mark for tags in sentences for mark, _ in tags}
    if marks - {OUTSIDE, "B", "I"}:
        return "IOBES"
    free_beginnings = free_insides = 0
    for tags in sentences:
        previous = ""
        for mark, name in tags:
            if name != previous:
                free_beginnings += mark == "B"
                free_insides += mark == "I"
            previous = name
    return "IOB1" if free_insides and not free_beginnings else "IOB2"


def as_iob2(tags: Sequence[Tag], scheme: Scheme, repaired: Counter[str]) -> tuple[str, ...]:
    """The same entities in IOB2. A word that goes on with nothing before it begins an entity and is counted."""
    result: list[str] = []
    open_type = ""
    for mark, name in tags:
        if mark == OUTSIDE:
            result.append(OUTSIDE)
            open_type = ""
            continue
        continues = open_type == name and mark not in BEGINNINGS
        if not continues and mark not in BEGINNINGS and scheme != "IOB1":
            repaired[f"{mark} without a beginning before it, taken for B"] += 1
        result.append(f"{'I' if continues else 'B'}-{name}")
        open_type = "" if mark in ENDS else name
    return tuple(result)
