"""The front of an article → what later filters ask for, under the keys that all sources share."""

import re
from types import MappingProxyType
from typing import Any, Final

from megatron_bio.corpus.characters import clean
from megatron_bio.corpus.pmc.text import line

LANGUAGES: Final = MappingProxyType(
    {
        "en": "eng", "fr": "fre", "de": "ger", "es": "spa", "pt": "por", "it": "ita", "zh": "chi", "ja": "jpn", "ru": "rus",
        "nl": "dut", "pl": "pol", "tr": "tur", "ko": "kor", "cs": "cze", "sv": "swe", "da": "dan", "no": "nor", "nb": "nor",
        "fi": "fin", "hu": "hun", "el": "gre", "ar": "ara", "fa": "per", "he": "heb", "ro": "rum", "sr": "srp", "hr": "hrv",
        "sl": "slv", "sk": "slo", "uk": "ukr", "bg": "bul", "ca": "cat", "lt": "lit", "lv": "lav", "et": "est", "eu": "baq",
        "gl": "glg", "id": "ind", "ms": "may", "vi": "vie", "th": "tha", "la": "lat", "is": "ice", "af": "afr", "hi": "hin",
    }
)  # fmt: skip
"""ISO 639-1 → the codes that PubMed uses (MARC): https://www.nlm.nih.gov/bsd/language_table.html"""
RETRACTING_TYPES: Final = frozenset({"retraction", "retracted-article", "retraction-notice"})
RETRACTING_RELATIONS: Final = frozenset({"retracted-article", "retraction-forward", "retraction"})

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_PMCID = re.compile(r"\s*(?:PMC)?([1-9]\d{0,9})(?:\.(\d{1,5}))?\s*", re.IGNORECASE)
_DOI = re.compile(r"10\.\S+")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_DATES = ("ppub", "collection", "epub-ppub", "epub", "pub", "")
_RETRACTED_TITLE = re.compile(r"(?:\[?retracted\b|retraction(?: note)?:)", re.IGNORECASE)


def identifiers(article_meta: Any) -> dict[str, Any]:
    """`number` and `version` of the PMCID, `pmid` and `doi`, as far as they are there and well-formed."""
    found: dict[str, Any] = {}
    for element in article_meta.iterchildren("article-id"):
        kind, text = element.get("pub-id-type"), "".join(element.itertext()).strip()
        if kind in ("pmc", "pmcid", "pmcid-ver") and (match := _PMCID.fullmatch(text)):
            found.setdefault("number", int(match[1]))
            if match[2]:
                found["version"] = int(match[2])
        elif kind == "pmid" and text.isascii() and text.isdigit() and len(text) <= 10:
            found["pmid"] = int(text)
        elif kind == "doi" and (match := _DOI.search(text)):
            found["doi"] = match[0].lower()
    return found


def describe(article: Any, article_meta: Any, title: str) -> dict[str, object]:
    """Year, journal, languages, publication types, keywords, retraction."""
    meta: dict[str, object] = {}
    if (year := _year(article_meta)) is not None:
        meta["year"] = year
    journal_meta = article.find("front/journal-meta")
    if journal_meta is not None:
        name = next(journal_meta.iter("journal-title"), None)
        if name is None:
            name = next(journal_meta.iter("abbrev-journal-title", "journal-id"), None)
        if name is not None and (journal := clean("".join(name.itertext()))):
            meta["journal"] = journal
    meta["languages"] = [_language(article.get(_LANGUAGE) or "en")]
    types = [article.get("article-type")]
    types += [
        clean("".join(subject.itertext()))
        for group in article_meta.findall("article-categories/subj-group")
        if group.get("subj-group-type", "heading") == "heading"
        for subject in group.iterchildren("subject")
    ]
    if types := [name for name in dict.fromkeys(types) if name]:
        meta["publication_types"] = types
    if keywords := _keywords(article_meta):
        meta["keywords"] = keywords
    if _is_retracted(article, article_meta, title):
        meta["retracted"] = True
    return meta


def _language(code: str) -> str:
    code = code.lower().partition("-")[0].partition("_")[0]
    return LANGUAGES.get(code, code)


def _year(article_meta: Any) -> int | None:
    """The printed issue's, as PubMed has it, else that of the electronic publication; never a repository's release."""
    years: dict[str, int] = {}
    for date in article_meta.iterchildren("pub-date"):
        match = _YEAR.fullmatch((date.findtext("year") or "").strip())
        if match:
            years.setdefault(date.get("pub-type") or date.get("date-type") or "", int(match[0]))
    return next((years[kind] for kind in _DATES if kind in years), next(iter(years.values()), None))


def _keywords(article_meta: Any) -> list[str]:
    found = [
        line(keyword)
        for group in article_meta.iterchildren("kwd-group")
        if not group.get("kwd-group-type", "").lower().startswith("abbr")
        for keyword in group.iter("kwd", "compound-kwd")
    ]
    return [keyword for keyword in dict.fromkeys(found) if keyword]


def _is_retracted(article: Any, article_meta: Any, title: str) -> bool:
    """A retracted article as well as the notice of a retraction: the text of neither should teach a model."""
    if article.get("article-type") in RETRACTING_TYPES or _RETRACTED_TITLE.match(title):
        return True
    return any(
        related.get("related-article-type") in RETRACTING_RELATIONS
        for related in article_meta.iterchildren("related-article")
    )
