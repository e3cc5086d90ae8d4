"""What an article or a list says about its licence → one name: `CC0`, `CC-BY-4.0`, `CC-BY-NC-ND`, `unknown`, ...

Of several statements the strictest counts, for it is the one that a user may have to answer for. "Commercial" are the
licences of PMC's Commercial Use Collection (CC0, CC BY, CC BY-SA, CC BY-ND) and the public domain:
https://pmc.ncbi.nlm.nih.gov/tools/openftlist/
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from megatron_bio.corpus.mathml import local_name
from megatron_bio.corpus.pmc.license_wording import NON_COMMERCIAL, PUBLIC_DOMAIN, UNKNOWN, Wording, wording

NO_LICENSE: Final = "no-license"

STRICTNESS: Final = (
    PUBLIC_DOMAIN,
    "CC0",
    "CC-BY",
    "CC-BY-SA",
    "CC-BY-ND",
    "OGL",
    "CC-BY-NC",
    "CC-BY-NC-SA",
    "CC-BY-NC-ND",
    NON_COMMERCIAL,
    UNKNOWN,
    NO_LICENSE,
)
"""From free to strict; within one the version plays no part."""
COMMERCIAL: Final = frozenset({PUBLIC_DOMAIN, "CC0", "CC-BY", "CC-BY-SA", "CC-BY-ND"})

_HREF = "{http://www.w3.org/1999/xlink}href"
_PARAGRAPHS: Final = frozenset({"license-p", "license_ref", "p", "title"})
_VERSION = re.compile(r"-(?=\d).*")

Choice = Literal["commercial", "cc0", "any"]


def family(name: str) -> str:
    """`CC-BY-NC-4.0` → `CC-BY-NC`."""
    return _VERSION.sub("", name)


def is_allowed(name: str, choice: Choice) -> bool:
    """Whether `--license` takes an article under this licence."""
    if choice == "any":
        return True
    return family(name) == "CC0" if choice == "cc0" else family(name) in COMMERCIAL


def strictest(names: Iterable[str]) -> str | None:
    """The strictest, of equally strict ones the first that states a version; None of none."""
    return max(names, key=lambda name: (STRICTNESS.index(family(name)), family(name) != name), default=None)


def license_in(statement: str) -> str | None:
    """The licence that a sentence, an address or a code such as `CC BY-NC` names for the article; None if it names none."""
    return _verdict([wording(statement)])


def _verdict(wordings: Sequence[Wording]) -> str | None:
    """The strictest of all names; CC0 beside "all rights reserved" is none."""
    names = {name for found in wordings for name in found.names}
    if any("-NC" in name for name in names):
        names.discard(NON_COMMERCIAL)  # It says the same in other words.
    name = strictest(sorted(names))
    if name in ("CC0", PUBLIC_DOMAIN) and any(found.all_rights_reserved for found in wordings):
        return UNKNOWN
    return name


def article_license(article_meta: Any) -> str:
    """The licence that the `article-meta` of an article states; `unknown` for a statement that names none."""
    statements: list[Wording] = []
    copyrights: list[Wording] = []
    for holder in (article_meta, *article_meta.iterchildren("permissions")):
        for element in holder:
            name = local_name(element)
            if name == "license":
                statements += _license_statements(element)
            elif name == "license_ref":
                statements.append(wording(_text(element)))
            elif name == "copyright-statement":
                copyrights.append(wording(_text(element)))
    found = _verdict([*statements, *copyrights])
    return found or (UNKNOWN if statements else NO_LICENSE)


def _license_statements(element: Any) -> list[Wording]:
    """The text, and the attributes unless the text says that what they name is only for the data."""
    text = wording(_text(element))
    families = {family(name) for name in text.parts} - {family(name) for name in text.names}
    attributes = [wording(element.get(_HREF, "")), wording(element.get("license-type", ""))]
    return [text, *(found for found in attributes if families.isdisjoint(map(family, found.names)))]


def _text(element: Any) -> str:
    """The text with each address where its link stands, and a full stop after each paragraph."""
    pieces = [element.text or ""]
    for child in element:
        if address := child.get(_HREF):
            pieces.append(f" {address} ")
        pieces += _text(child), ". " if local_name(child) in _PARAGRAPHS else "", child.tail or ""
    return "".join(pieces)
