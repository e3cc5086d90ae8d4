"""Named entities of a file: those of HTML become their characters, wherever they stand, with or without a DOCTYPE.

All others would have to be expanded by what a DTD says, which is never done: they are found and named, for a gap in a
sentence must not go unseen.
"""

import re
from typing import Any, Final

from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError, named_entity
from megatron_bio.corpus.pmc.tree import replace

UNKNOWN_ENTITY: Final = "entity that is never expanded"

_READ_PARTS: Final = ("front", "body", "back/app-group", "floats-group")
_NAMED = re.compile(rb"&(?!#|amp;|lt;|gt;|quot;|apos;)")
_ENTITY = re.compile(rb"&(?!lt;|gt;|amp;|quot;|apos;)(?P<name>[A-Za-z_][\w.-]*);")
_CDATA = rb"<!\[CDATA\[.*?\]\]>"
_ENTITY_OR_CDATA = re.compile(_ENTITY.pattern + rb"|" + _CDATA, re.DOTALL)
_ENTITY_OR_NO_TEXT = re.compile(
    _ENTITY.pattern + rb"|" + _CDATA + rb"|<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL
)


def may_have_entities(content: bytes) -> bool:
    """False if there are none but those of XML itself: to search the bytes is four times faster than to search the tree."""
    return _NAMED.search(content) is not None


def with_characters(content: bytes) -> bytes:
    """`&alpha;` → `&#945;`, but in CDATA; other names stay. For encodings that have ASCII as a part."""
    entity = _ENTITY_OR_CDATA if b"<![CDATA[" in content else _ENTITY
    return entity.sub(_reference, content)


def _reference(match: re.Match[bytes]) -> bytes:
    if match["name"] is None:
        return match[0]
    try:
        text = named_entity(match["name"].decode())
    except UnknownEntityError:
        return match[0]
    return b"".join(b"&#%d;" % ord(character) for character in text)


def entity_in_a_tag(content: bytes) -> str | None:
    """The name of the first entity in an attribute, where the parser would leave a gap."""
    if not may_have_entities(content):
        return None
    for match in _ENTITY_OR_NO_TEXT.finditer(content):
        if match["name"] is not None:
            tag = content.rfind(b"<", 0, match.start())
            if content.find(b">", tag, match.start()) < 0 <= tag:
                return match["name"].decode()
    return None


def unexpanded_entity(article: Any) -> str | None:
    """The name of the first entity in what is read of an article that no character answers to; all others are replaced."""
    for path in _READ_PARTS:
        for part in article.iterfind(path):
            for entity in list(part.iter(etree.Entity)):
                try:
                    replace(entity, named_entity(entity.name))
                except UnknownEntityError:
                    return str(entity.name)
    return None


def line_of_entity(content: bytes, name: str) -> int:
    """The line in which `&name;` first stands, counted from 1."""
    wanted = (match for match in _ENTITY_OR_NO_TEXT.finditer(content) if match["name"] == name.encode())
    first = next(wanted, None)
    return content.count(b"\n", 0, first.start()) + 1 if first is not None else 1
