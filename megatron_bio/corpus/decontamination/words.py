"""Text → the words by which a benchmark is recognised, the same for print, PubMed's plain spelling and tokenised files.

A word is a run of letters or a run of digits, in lower case, without accents; all else only separates. So `TNF-α`,
`TNF - α` and `TNF-alpha` give `tnf alpha`; `( 10 mg )` and `(10mg)` give `10 mg`; `IL-2` and `IL2` give `il 2`.
"""

import re
import unicodedata
from types import MappingProxyType
from typing import Final


def _characters_marked(mark: str) -> str:
    """The superscripts or the subscripts of Unicode, but for the sign of a trade mark."""
    characters = map(chr, range(0x80, 0x2200))
    return "".join(
        one for one in characters if unicodedata.decomposition(one).startswith(mark) and one != "™"
    )


_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_GREEK: Final = MappingProxyType(
    {
        ord(letter): f" {name} "
        for letter, name in zip("αβγδεζηθικλμνξοπρστυφχψω", _GREEK_NAMES.split(), strict=True)
    }
)
# PubMed's plain spelling of a unit is one word: μg is microg, μM is microM; alone μ is the letter.
_MICRO = re.compile(r"μ(?=[a-z])")
_ACCENTS = re.compile("[\u0300-\u036f]")
_SCRIPTS = re.compile("|".join(f"[{_characters_marked(mark)}]+" for mark in ("<super>", "<sub>")))
# Chinese and Japanese are written without spaces: each of their characters is a word.
_IDEOGRAPHS = "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PLAIN_WORD = re.compile(r"[a-z]+|[0-9]+")
_WORD = re.compile(rf"[^\W\d_{_IDEOGRAPHS}]+|\d+|[{_IDEOGRAPHS}]")


def readings(text: str) -> list[list[str]]:
    """The words of `text`, in both ways to read it where superscripts or subscripts make two.

    `10⁶` is written `10(6)`, `10^6` or `10 6` elsewhere, which is the first reading, and `106` where the mark-up was
    lost, which is the second; so are `Cₘₐₓ`, `C(max)` and `Cmax`.
    """
    if text.isascii():
        return [_PLAIN_WORD.findall(text.lower())]
    if not _SCRIPTS.search(text):
        return [_WORD.findall(_folded(text))]
    apart = _WORD.findall(_folded(_SCRIPTS.sub(r" \g<0> ", text)))
    joined = _WORD.findall(_folded(text))
    return [apart] if apart == joined else [apart, joined]


def _folded(text: str) -> str:
    """Lower case, compatibility forms as plain characters, no accents, Greek letters by name."""
    text = unicodedata.normalize("NFKD", text.replace("™", " ").casefold())
    return _MICRO.sub("micro", _ACCENTS.sub("", text).casefold()).translate(_GREEK)
