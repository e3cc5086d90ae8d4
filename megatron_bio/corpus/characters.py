"""Characters: superscripts and subscripts, named entities, and the normal form of all text in a corpus."""

import re
import unicodedata
from collections.abc import Mapping
from html.entities import html5
from itertools import chain
from types import MappingProxyType
from typing import Final

from megatron_bio.corpus.errors import CorpusError

_HIGH_BY_THEMSELVES = "®™©°º*†‡§¶′″'\"ª"

SUPERSCRIPTS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("0123456789+-−–=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾", strict=True))
    | dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))
    | dict(zip("ABDEGHIJKLMNOPRTUVW", "ᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂ", strict=True))
    | dict(zip("βγδθφχ∘", "ᵝᵞᵟᶿᵠᵡ°", strict=True))
    | {character: character for character in _HIGH_BY_THEMSELVES}
)
"""Each character that Unicode has as a superscript; marks that stand high by themselves stay as they are."""

SUBSCRIPTS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("0123456789+-−–=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎", strict=True))
    | dict(zip("aehijklmnoprstuvxβγρφχ", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))
)
"""Each character that Unicode has as a subscript."""

_UNDERLINED_SIGNS: Final = MappingProxyType({"<": "≤", ">": "≥", "+": "±"})
_SCRIPT_FORMS: Final = frozenset(SUPERSCRIPTS.values()) | frozenset(SUBSCRIPTS.values())
_SPACED_SIGN = re.compile(r"\s*([+\-−–])\s*")
# White space among the control characters (\t, \n, \v, \f, \r, NEL) is left for the collapsing that follows.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)


def _stable_characters() -> frozenset[str]:
    """Printable characters of the usual blocks that NFC leaves alone and that never combine with what is before them.

    Below U+2C00 only combining marks and some letters of Indic scripts and of Hangul, which are not in these blocks, do.
    """
    blocks = (range(0xA1, 0x300), range(0x370, 0x530), range(0x1D00, 0x1F00), range(0x2010, 0x2C00))
    return frozenset(
        character
        for character in map(chr, chain(*blocks))
        if character.isprintable()
        and not unicodedata.combining(character)
        and unicodedata.normalize("NFC", character) == character
    )


STABLE_CHARACTERS: Final = _stable_characters()
"""What `clean` leaves as it is, whatever stands around."""
STABLE_TABLE: Final = bytes(chr(point) in STABLE_CHARACTERS for point in range(0x2C00))
"""The same as one byte, 0 or 1, for each code point, for compiled code."""
_PRINTABLE_ASCII: Final = bytes(range(0x20, 0x7F))


class UnknownEntityError(CorpusError):
    """A named entity that neither XML nor HTML defines; entities that a file defines itself are never expanded."""


def superscript(text: str) -> str:
    """`6` → `⁶`, `2 +` → `²⁺`, `α` → `^(α)`: Unicode where every character has a superscript, else marked with ^."""
    return _raised(text, SUPERSCRIPTS, "^")


def subscript(text: str) -> str:
    """`2` → `₂`, `max` → `ₘₐₓ`, `0.4` → `_(0.4)`: Unicode where every character has a subscript, else marked with _."""
    return _raised(text, SUBSCRIPTS, "_")


def underlined(text: str) -> str:
    """`<` → `≤`, `>` → `≥`, `+` → `±`, as authors underline what they cannot type; any other text stays as it is."""
    sign = text.strip()
    return text.replace(sign, _UNDERLINED_SIGNS[sign]) if sign in _UNDERLINED_SIGNS else text


def _raised(text: str, table: Mapping[str, str], mark: str) -> str:
    core = text.strip()
    if not core:
        return text
    before, _, after = text.partition(core)
    compact = _SPACED_SIGN.sub(r"\1", core)
    if all(character in _SCRIPT_FORMS for character in compact):
        return text
    if all(character in table for character in compact):
        core = "".join(table[character] for character in compact)
    else:
        core = f"{mark}({core})"
    return f"{before}{core}{after}"


def named_entity(name: str) -> str:
    """The text of a named character entity of HTML (`alpha` → `α`); raises UnknownEntityError for any other name."""
    text = html5.get(f"{name};")
    if text is None:
        raise UnknownEntityError(f"expected an entity defined by XML or HTML, found &{name};.")
    return text


def clean(text: str) -> str:
    """Unicode NFC, without control and invisible format characters, each run of white space one space, stripped."""
    text = unicodedata.normalize("NFC", text)
    # The space is the only white space that is printable. (Searching from the end is the faster way.)
    if text.isprintable() and text.rfind("  ") < 0:
        return text.strip(" ")
    text = " ".join(text.split())
    if text.isprintable():
        return text
    return " ".join(_INVISIBLE.sub("", text).split())


def clean_parts(text: bytes, separator: str) -> list[str]:
    """`clean` of each part of UTF-8 text between separators, which are one noncharacter of Unicode; without the empty parts.

    Several times faster for a long text of usual characters: only runs of white space are left to do there, and bytes are
    searched faster than characters.
    """
    unusual = set(text.translate(None, _PRINTABLE_ASCII).decode()) - STABLE_CHARACTERS
    unusual.discard(separator)
    for space in filter(str.isspace, unusual):
        text = text.replace(space.encode(), b" ")
    parts = [stripped for part in text.split(separator.encode()) if (stripped := part.strip(b" "))]
    cleaned = [(b" ".join(part.split()) if b"  " in part else part).decode() for part in parts]
    to_clean = [character for character in unusual if not character.isspace()]
    if not to_clean:
        return cleaned
    # In most parts there is none of them.
    cleaned = [clean(part) if any(character in part for character in to_clean) else part for part in cleaned]
    return [part for part in cleaned if part]
