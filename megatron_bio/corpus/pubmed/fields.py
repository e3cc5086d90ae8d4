"""The fields of a citation as they stand in the XML, and what is made of them; the same for both ways of reading them.

Element descriptions: https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from megatron_bio.corpus.pubmed.citation import NO_PMID, Citation, UnusableRecord

PLACEHOLDER_TITLES: Final = frozenset({"not available", "in process citation"})
LONGEST_PLACEHOLDER: Final = 30
"""Characters, with brackets and points."""
NO_LABELS: Final = frozenset({"", "UNLABELLED", "UNLABELED", "UNASSIGNED"})
RETRACTED: Final = "retracted publication"
LARGEST_NOTICE: Final = 1000
"""Characters; a longer abstract that speaks of a withdrawal has a content of its own."""

YEAR: Final = re.compile(r"[0-9]{4}")
_TRUNCATION_MARK = re.compile(r"\s?\(ABSTRACT TRUNCATED(?: AT \d+ WORDS)?\)$")
_TRANSLATOR_MARK = re.compile(r"\s*\(author's transl\)$")
_DOI = re.compile(r"10\.[0-9]{4,9}/\S+")
_PMCID = re.compile(r"PMC[0-9]+")
_KIND = "(?:abstract|article|paper|manuscript|publication|preprint|review|protocol|chapter|letter|report)"
_WITHDRAWAL = re.compile(
    rf"\W*(?:withdrawn\W*$|{_KIND} (?:was |is |has been )?withdrawn\b"
    rf"|(?:this|the)(?: \w+){{0,2}} {_KIND}(?: \w+){{0,3}} (?:has|have|was|is)(?: \w+){{0,3}} (?:withdrawn|retracted)\b"
    rf"|(?:the )?(?:authors?|editors?|publishers?)(?: \w+){{0,3}} (?:withdrawn?|withdrew|retract(?:ed)?) (?:this|the|their) "
    rf"{_KIND}|(?:the )?publisher regrets that this {_KIND})",
    re.IGNORECASE,
)

Section = tuple[str, str]
"""Label ("" for none) and text of a part of an abstract."""


@dataclass(kw_only=True, slots=True)
class Fields:
    """Cleaned text of the elements; those below `has_all` may stay empty where only the text is wanted, unless they tell of
    a retraction."""

    pmid: int | None
    """None when there is no valid one."""
    version: int = 1
    title: str = ""
    abstract: Sequence[Section] = ()
    languages: Sequence[str] = ()
    has_all: bool = False
    vernacular_title: str = ""
    journal: str = ""
    date: str = ""
    """All text of PubDate; the first four digits are the year."""
    publication_types: Sequence[str] = ()
    mesh: Sequence[str] = ()
    keywords: Sequence[str] = ()
    identifiers: Sequence[tuple[str, str]] = ()
    """Kind (`doi`, `pmc`) and value; the first of a kind that is valid counts."""
    relations: Sequence[str] = ()
    """RefType of each comment, correction and retraction."""
    other_abstracts: Sequence[tuple[str, Sequence[Section]]] = ()
    """Language and sections."""


def to_citation(fields: Fields) -> Citation | UnusableRecord:
    """What counts of the fields, in the form of `Document.meta`."""
    if fields.pmid is None:
        return UnusableRecord(reason=NO_PMID)
    title, translated = without_brackets(fields.title)
    abstract = joined(fields.abstract)
    meta: dict[str, object] = {}
    if translated:
        meta["translated_title"] = True
    if len(abstract) < LARGEST_NOTICE and _is_withdrawal(abstract):
        meta["abstract_withdrawn"] = True
    if fields.languages:
        meta["languages"] = [language.lower() for language in fields.languages]
    if fields.has_all:
        _describe(fields, meta)
    if "RetractionIn" in fields.relations or any(
        kind.casefold() == RETRACTED for kind in fields.publication_types
    ):
        meta["retracted"] = True
    return Citation(
        pmid=fields.pmid,
        version=fields.version,
        title=title,
        abstract=abstract,
        meta=meta,
    )


def _is_withdrawal(abstract: str) -> bool:
    # Most abstracts are told apart by two searches, which cost a tenth of the pattern.
    lower = abstract.lower()
    return ("withdr" in lower or "retract" in lower or "regrets" in lower) and bool(
        _WITHDRAWAL.match(abstract)
    )


def _describe(fields: Fields, meta: dict[str, object]) -> None:
    """What later filters ask for; nothing is said of what is not there."""
    if fields.vernacular_title:
        meta["vernacular_title"] = fields.vernacular_title
    if year := YEAR.search(fields.date):
        meta["year"] = int(year[0])
    if fields.journal:
        meta["journal"] = fields.journal
    for name, values in (
        ("publication_types", fields.publication_types),
        ("mesh", fields.mesh),
        ("keywords", fields.keywords),
    ):
        if values:
            meta[name] = list(values)
    for kind, value in fields.identifiers:
        if kind == "doi" and "doi" not in meta and (doi := _DOI.search(value)):
            meta["doi"] = doi[0].lower()
        elif kind == "pmc" and "pmcid" not in meta and (pmcid := _PMCID.match(value)):
            meta["pmcid"] = pmcid[0]
    others = [
        {"language": language.lower(), "text": text}
        for language, sections in fields.other_abstracts
        if (text := joined(sections))
    ]
    if others:
        meta["other_abstracts"] = others


def joined(sections: Sequence[Section]) -> str:
    """The sections with their labels, one a line; without the mark of an abstract that NLM cut short."""
    lines = []
    for label, text in sections:
        if text.endswith(")"):
            text = _TRUNCATION_MARK.sub("", text)
        if text and label:
            label = label.rstrip(": ")
            text = text if label.upper() in NO_LABELS else f"{label}: {text}"
        if text:
            lines.append(text)
    return "\n".join(lines)


def without_brackets(title: str) -> tuple[str, bool]:
    """A translated title stands in brackets, `[Title].`; a missing one is `[Not Available].`, here empty."""
    if len(title) > LONGEST_PLACEHOLDER and not title.startswith("["):
        return title, False
    core = title.rstrip(". ")
    inner = core
    translated = core.startswith("[") and _closing_bracket(core) == len(core) - 1
    if translated:
        inner = _TRANSLATOR_MARK.sub("", core[1:-1].strip())
    if inner.rstrip(".").casefold() in PLACEHOLDER_TITLES:
        return "", False
    if not translated:
        return title, False
    end = "" if inner.endswith((".", "?", "!", "…")) or core == title else "."
    return inner + end, True


def _closing_bracket(text: str) -> int:
    """Where the bracket opened by the first character closes; -1 if nowhere."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth == 0:
            return index
    return -1
