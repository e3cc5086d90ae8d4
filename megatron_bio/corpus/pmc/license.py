"""What an article or a list says about its licence → one name: `CC0`, `CC-BY-4.0`, `CC-BY-NC-ND`, `unknown`, ...

Of several statements the strictest counts, for it is the one that a user may have to answer for. "Commercial" are the
licences of PMC's Commercial Use Collection (CC0, CC BY, CC BY-SA, CC BY-ND) and the public domain:
https://pmc.ncbi.nlm.nih.gov/tools/openftlist/
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, Literal

from megatron_bio.corpus.mathml import local_name

UNKNOWN: Final = "unknown"
NO_LICENSE: Final = "no-license"
PUBLIC_DOMAIN: Final = "public-domain"
NON_COMMERCIAL: Final = "non-commercial"

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
_VERSION = re.compile(r"-(?=\d).*")
_ADDRESS = re.compile(
    r"creativecommons\.org/(?:licen[sc]es?/(?P<terms>by[a-z-]*|publicdomain|zero)|publicdomain/(?P<free>zero|mark))"
    r"(?:/(?P<version>\d\.\d))?(?P<igo>/igo)?",
)
_BETWEEN_WORDS = re.compile(r"[^a-z0-9.]+")
_TERM = r"(?:non ?commercial|non ?deriv\w*|no ?deriv\w*|share ?alike|nc|nd|sa)\b"
_NAMED = re.compile(
    rf"\b(?:attribution|cc ?by|creativecommonsby|creative commons(?= {_TERM}))(?P<terms>(?: (?:and )?{_TERM})*)"
    r"(?=(?P<rest>.{0,40}))"
)
_VERSION_NEAR = re.compile(r"\b[1-4]\.[05]\b(?P<igo> igo\b)?")
_ZERO = re.compile(r"\bcc ?0\b|\bcc zero\b|\bcreative commons zero\b")
_FREE = re.compile(
    r"\b(?:in|into|to|under) the (?:worldwide )?public domain\b|\bpublic domain (?:mark|dedication|licen[sc]e|article|work)\b"
    r"|^public domain$|\bfree of all copyright\b"
    r"|\b(?:work|works|employees?) (?:of|by|for) the (?:u\.?s\.?|united states)(?: federal)? government\b"
    r"|\bu\.?s\.? government work\b|\bnot subject to (?:u\.?s\.? |united states )?copyright\b"
)
_NOT_FREE = re.compile(r"\bnot in the public domain\b")
_OPEN_GOVERNMENT = re.compile(r"\bopen government licen[sc]e\b|\bogl\b")
_NON_COMMERCIAL = re.compile(r"\bnon ?commercial\b")
_BOTH_USES = re.compile(
    r"\bcommercial (?:and|or|as well as) non ?commercial\b|\bnon ?commercial (?:and|or|as well as) commercial\b"
)

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


@lru_cache(maxsize=1024)  # Publishers use the same few sentences in all their articles.
def license_in(statement: str) -> str | None:
    """The licence that a sentence, an address or a code such as `CC BY-NC` names; None if it names none."""
    text = statement.lower()
    names = {*_addresses(text), *_in_words(_BETWEEN_WORDS.sub(" ", text).strip())}
    if "CC0" in names:
        names.discard(PUBLIC_DOMAIN)
    return strictest(sorted(names))


def _addresses(text: str) -> Iterator[str]:
    for match in _ADDRESS.finditer(text):
        terms = match["terms"] or ""
        if match["free"] == "zero" or terms == "zero":
            yield "CC0"
        elif match["free"] or terms == "publicdomain":
            yield PUBLIC_DOMAIN
        else:
            yield _creative_commons(terms, match["version"], match["igo"])


def _in_words(text: str) -> Iterator[str]:
    found = False
    if "creative" in text or "cc" in text or text.startswith("attribution"):
        for match in _NAMED.finditer(text):
            version = _VERSION_NEAR.search(match["rest"])
            found = True
            yield _creative_commons(match["terms"], version and version[0][:3], version and version["igo"])
    if _ZERO.search(text):
        yield "CC0"
    elif _FREE.search(text) and not _NOT_FREE.search(text):
        yield PUBLIC_DOMAIN
    if _OPEN_GOVERNMENT.search(text):
        yield "OGL"
    if _NON_COMMERCIAL.search(_BOTH_USES.sub(" ", text)):
        yield "CC-BY-NC" if found else NON_COMMERCIAL


def _creative_commons(terms: str, version: str | None, igo: str | None) -> str:
    """`terms` hold the abbreviations (`by-nc-nd`) or the words (`noncommercial no derivatives`)."""
    parts = ["CC-BY"]
    if re.search(r"\bnc\b|non ?commercial", terms):
        parts.append("NC")
    if re.search(r"\bnd\b|no ?deriv|non ?deriv", terms):
        parts.append("ND")
    elif re.search(r"\bsa\b|share ?alike", terms):
        parts.append("SA")
    if version:
        parts.append(version)
        if igo:
            parts.append("IGO")
    return "-".join(parts)


def article_license(article_meta: Any) -> str:
    """The licence that the `article-meta` of an article states; `unknown` for a statement that names none."""
    statements: list[str] = []
    copyrights: list[str] = []
    for holder in (article_meta, *article_meta.iterchildren("permissions")):
        for element in holder:
            name = local_name(element)
            if name == "license":
                statements += _license_statements(element)
            elif name == "license_ref":
                statements.append("".join(element.itertext()))
            elif name == "copyright-statement":
                copyrights.append("".join(element.itertext()))
    named = strictest(name for name in map(license_in, statements) if name is not None)
    if named is None:
        named = strictest(name for name in map(license_in, copyrights) if name is not None)
    if named is not None:
        return named
    return UNKNOWN if statements else NO_LICENSE


def _license_statements(element: Any) -> Iterator[str]:
    for holder in element.iter("*"):
        if address := holder.get(_HREF):
            yield address
    yield element.get("license-type", "")
    yield " ".join("".join(element.itertext()).split())
