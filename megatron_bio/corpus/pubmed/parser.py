"""A piece of a file → elements, each piece by itself, so that damage and entities cannot reach beyond it."""

import re
from typing import Any

from lxml import etree

from megatron_bio.corpus.characters import UnknownEntityError
from megatron_bio.corpus.safe_parsing import TEXT_ONLY

# The external subset, which is never loaded, turns an unknown entity from an error into a node that keeps its name.
_OPENING = b'<!DOCTYPE piece SYSTEM "none"><piece'
_CLOSING = b"</piece>"
_PREFIXES = re.compile(rb"""\sxmlns:[\w.-]+\s*=\s*(?:"[^"<&]*"|'[^'<&]*')""")
_OWN_ENTITY = re.compile(rb"&(?!lt;|gt;|amp;|quot;|apos;|#)")
_NO_TEXT = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)


class PieceParser:
    """Parses pieces of one file under the namespace prefixes that its root element declares.

    What the file's own DTD says is not known to it: no entity of a file is ever expanded, and no other file is opened.
    """

    def __init__(self, root_tag: bytes) -> None:
        """`root_tag` is the root's start tag as it stands in the file, in UTF-8."""
        self._opening = _OPENING + b"".join(_PREFIXES.findall(root_tag)) + b">"
        self._parser = etree.XMLParser(**TEXT_ONLY)

    def elements(self, piece: bytes) -> Any:
        """The element that holds those of the piece.

        Raises etree.XMLSyntaxError, whose line is counted from the piece's first, and UnknownEntityError when an entity
        stands where it cannot be seen afterwards (in an attribute).
        """
        holder = etree.fromstring(b"%b%b%b" % (self._opening, piece, _CLOSING), self._parser)
        if b"&" in piece:
            named = len(
                _OWN_ENTITY.findall(_NO_TEXT.sub(b"", piece) if b"<!" in piece or b"<?" in piece else piece)
            )
            if named and named != sum(1 for _ in holder.iter(etree.Entity)):
                raise UnknownEntityError("expected entities in the text only, found one in an attribute.")
        return holder
