"""Cuts the parts of an article that are never read out of its bytes, before they are parsed: most of the time saved.

In a well-formed document without comments, CDATA sections, an internal DTD subset and angle brackets in processing
instructions, `<ref-list` and a delimiter can be nothing but a start tag, in every encoding that has ASCII as a part. All
other documents are left as they are. Cutting changes nothing in the text (tests hold it equal on all real articles); only
an error of well-formedness inside a part that is cut goes unnoticed.
"""

import re

_LESS_THAN = ord("<")
_DELIMITERS = frozenset(bytes([byte]) for byte in b" >/\t\r\n")
_SAFE_ENCODINGS = frozenset({b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1"})
_ENCODING = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")


def without_unread_parts(content: bytes, captions: bool) -> bytes:
    """`content` without authors, back matter and tables; unchanged where that is not certain to be right.

    `captions` keeps the elements around tables, which hold their captions. Only the elements are searched for that make
    up more than half of all bytes: to search for more takes longer than to parse them.
    """
    if not _is_plain(content):
        return content
    body = max(content.find(b"<body"), 0)
    back = _tag(content, b"<back", body)
    back = len(content) if back < 0 else back
    parts = [
        (_spans(content, b"contrib-group", 0, body), b""),
        # What a table parts stays parted: an empty one takes its place.
        (_spans(content, b"table", body, back), b"")
        if captions
        else (_spans(content, b"table-wrap", body, back), b"<table-wrap/>"),
        (_unread_end(content, back, captions), b""),
    ]
    kept: list[bytes] = []
    position = 0
    for spans, replacement in parts:
        if spans is None:
            return content
        for start, end in spans:
            kept += content[position:start], replacement
            position = end
    kept.append(content[position:])
    return b"".join(kept)


def _is_plain(content: bytes) -> bool:
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or b"\x00" in content[:200]:
        return False
    encoding = _ENCODING.match(content.lstrip(b"\xef\xbb\xbf")[:200])
    if encoding is not None and encoding[1].lower() not in _SAFE_ENCODINGS:
        return False
    return _only_a_plain_doctype(content) and _only_plain_instructions(content)


def _only_a_plain_doctype(content: bytes) -> bool:
    """No comment, no CDATA, no internal subset: no `<!` but that of a DOCTYPE without bracket."""
    found = False
    # `!` alone is rare and found ten times faster than `<!`.
    position = content.find(b"!")
    while position >= 0:
        if content[position - 1] == _LESS_THAN:
            if found or not content.startswith(b"DOCTYPE", position + 1):
                return False
            found = True
            if content.find(b"[", position, content.find(b">", position)) >= 0:
                return False
        position = content.find(b"!", position + 1)
    return True


def _only_plain_instructions(content: bytes) -> bool:
    position = content.find(b"?")
    while position >= 0:
        if content[position - 1] == _LESS_THAN:
            end = content.find(b"?>", position)
            if end < 0 or content.find(b"<", position, end) >= 0:
                return False
            position = end + 1
        position = content.find(b"?", position + 1)
    return True


def _unread_end(content: bytes, back: int, captions: bool) -> list[tuple[int, int]] | None:
    """The first `back`, of one with appendices only the references; and the figures and tables after it."""
    if back == len(content):
        return []
    closing = _tag(content, b"</back", back)
    is_empty = content.startswith(b"/", content.find(b">", back) - 1)
    if closing >= 0 and content.rfind(b"</back") == closing and not is_empty:
        # The only end belongs to this start: the references are not searched again for another one.
        end = content.find(b">", closing) + 1
    else:
        end = _end_of_element(content, b"<back", b"</back", back)
    if end <= 0:
        return None
    if content.find(b"<app-group", back, end) >= 0:
        return _spans(content, b"ref-list", back, len(content))
    following = [] if captions else _spans(content, b"floats-group", end, len(content))
    return None if following is None else [(back, end), *following]


def _spans(content: bytes, name: bytes, position: int, limit: int) -> list[tuple[int, int]] | None:
    """Start and end of each outermost element of this name that starts before `limit`; None if one does not end there."""
    opening, closing = b"<" + name, b"</" + name
    found = []
    while (start := _tag(content, opening, position, limit)) >= 0:
        position = _end_of_element(content, opening, closing, start)
        if not 0 < position <= limit:
            return None
        found.append((start, position))
    return found


def _tag(content: bytes, tag: bytes, position: int, end: int | None = None) -> int:
    """Where the next tag of exactly this name starts; -1 for none."""
    start = content.find(tag, position, end)
    while start >= 0 and content[start + len(tag) : start + len(tag) + 1] not in _DELIMITERS:
        start = content.find(tag, start + len(tag), end)
    return start


def _end_of_element(content: bytes, opening: bytes, closing: bytes, start: int) -> int:
    """The position after the element that starts at `start`, with elements of its name inside; -1 if it does not end."""
    tag_end = content.find(b">", start)
    if content[tag_end - 1 : tag_end] == b"/":
        return tag_end + 1
    depth = 1
    position = tag_end
    while depth:
        end = _tag(content, closing, position)
        if end < 0:
            return -1
        inner = _tag(content, opening, position, end)
        if inner >= 0:
            inner_end = content.find(b">", inner)
            depth += content[inner_end - 1 : inner_end] != b"/"
            position = inner_end
            continue
        depth -= 1
        position = content.find(b">", end)
    return position + 1
