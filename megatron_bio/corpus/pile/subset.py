"""Which subset of The Pile a line belongs to, where possible without parsing the line."""

import re

TAIL_BYTES = 200
# The last member of the object, as the writer of The Pile ends every line.
_LAST_MEMBER = re.compile(
    rb'[,{][ \t]*"meta"[ \t]*:[ \t]*\{[ \t]*"pile_set_name"[ \t]*:[ \t]*"([^"\\]*)"[ \t]*\}[ \t]*\}[ \t\r]*\Z'
)


def subset_at_end(line: bytes) -> str | None:
    r"""The subset that a line names in its last bytes, `, "meta": {"pile_set_name": "ArXiv"}}`; None if not so written.

    If the line is a JSON object, the answer is what parsing it gives. Read backwards: the last brace closes the object and
    the one before it an object inside, so neither is in a string, and the quote before them ends a string. That string
    holds neither quote nor backslash and the byte before its own opening quote is no backslash, so it opens there; likewise
    the two keys before it. So the braces, colons and the comma stand outside of strings, `meta` is a key of the outermost
    object, and the last one with that name, which counts.
    """
    found = _LAST_MEMBER.search(line, max(0, len(line) - TAIL_BYTES))
    return found[1].decode("utf-8", errors="replace") if found else None


def subsets_of(fields: dict[str, object]) -> list[str]:
    """The subsets that a parsed line names: under `meta`, under `meta` inside `meta` as some copies have it, or at the top.

    It is one name, or a list of them where a copy joins texts of several subsets; empty when there is none.
    """
    places: list[object] = [fields]
    for _ in range(2):
        inside = places[-1].get("meta") if isinstance(places[-1], dict) else None
        places.append(inside)
    for place in (places[1], places[2], places[0]):
        if not isinstance(place, dict) or "pile_set_name" not in place:
            continue
        names = place["pile_set_name"]
        if isinstance(names, str):
            return [names]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return list(dict.fromkeys(names))
    return []
