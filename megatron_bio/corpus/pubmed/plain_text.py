"""Pieces of XML that need no parser → text, equal to what `element_text` gives of the parsed element."""

import re
from typing import Final

from megatron_bio.corpus.characters import clean, subscript, superscript, underlined

_NOT_PRINTABLE: Final = bytes((*range(32), *range(127, 256)))
_NOT_PLAIN: Final = _NOT_PRINTABLE + b"<&]"
_NOT_PLAIN_LIST: Final = _NOT_PRINTABLE + b"&]"
_FORBIDDEN: Final = bytes(byte for byte in range(32) if byte not in b"\t\n\r")
_BROKEN_LINE = re.compile(r"(?<!\s)\s*\n\s*(?=<sub>)")
_INNERMOST = re.compile(r"<(i|b|u|sup|sub)>([^<]*)</\1>")


def plain_text(piece: bytes) -> str | None:
    """The cleaned text of what stands between two tags; None if only a parser can say, or must say what is wrong.

    Usual markup (`i`, `b`, `u`, `sup`, `sub`) is understood. Raises UnicodeDecodeError.
    """
    if len(piece.translate(None, _NOT_PLAIN)) == len(piece):
        # As `clean` does it, for what is only printable ASCII. (From the end: that search is the faster one.)
        text = piece.decode()
        return text.strip(" ") if text.rfind("  ") < 0 else " ".join(text.split())
    text = piece.decode()
    if "]]>" in text or len(piece.translate(None, _FORBIDDEN)) != len(piece):
        return None
    if "\ufffe" in text or "\uffff" in text:
        return None
    if "<" in text:
        inline = None if "&" in text else _without_markup(text)
        return None if inline is None else clean(inline)
    if "&" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
        if text.count("&") != text.count("&amp;"):
            return None
        text = text.replace("&amp;", "&")
    return clean(text)


def plain_texts(pieces: list[bytes]) -> list[str] | None:
    """The cleaned texts that are not empty; None as for `plain_text`, and for markup."""
    joined = b"<".join(pieces)
    if len(joined.translate(None, _NOT_PLAIN_LIST)) == len(joined) and joined.rfind(b"  ") < 0:
        return [stripped for item in joined.decode().split("<") if (stripped := item.strip(" "))]
    texts: list[str] = []
    for piece in pieces:
        text = plain_text(piece)
        if text is None:
            return None
        if text:
            texts.append(text)
    return texts


def _without_markup(text: str) -> str | None:
    """Elements are replaced from the inside, so that what is not well-formed is left and seen."""
    if "\n" in text:
        text = _BROKEN_LINE.sub("", text)  # As `without_broken_line` does it.
    replaced = 1
    while replaced:
        text, replaced = _INNERMOST.subn(_rendered, text)
    return None if "<" in text else text


def _rendered(element: re.Match[str]) -> str:
    name, inner = element.groups()
    if name == "sup":
        return superscript(inner)
    if name == "sub":
        return subscript(inner)
    return underlined(inner) if name == "u" else inner
