"""Which abstract is the abstract, and which sections say nothing about the matter itself."""

import re
from typing import Any, Final

SECOND_ABSTRACTS: Final = frozenset(
    {
        "graphical",
        "video",
        "teaser",
        "toc",
        "short",
        "precis",
        "web-summary",
        "executive-summary",
        "summary",
        "synopsis",
    }
    | {
        "author-summary",
        "author-highlights",
        "highlights",
        "key-points",
        "editor",
        "editors-summary",
        "editor-summary",
    }
    | {"plain-language-summary", "lay-summary", "patient", "background", "stereochemical", "objectives"}
)
"""Values of `abstract-type` that stand beside the abstract proper."""
SIDE_SECTION_TYPES: Final = frozenset(
    {"supplementary-material", "supplementary material", "coi-statement", "conflict", "funding-information"}
    | {
        "author-contribution",
        "author-contributions",
        "data-availability",
        "additional-information",
        "display-objects",
    }
)
SIDE_SECTION_TITLES: Final = (
    r"(?:electronic )?(?:supplementa(?:ry|l)|supporting|additional) (?:materials?|data|information|files?)",
    r"(?:(?:statement|declaration|disclosure)s? of )?(?:potential )?(?:conflicts?|competing|declarations?) "
    r"(?:of )?(?:competing )?(?:financial )?interests?(?: statements?| disclosures?)?",
    r"authors?['’]?s? contributions?|acknowledge?ments?|funding(?: information| sources?| statement)?",
    r"pre-?publication history|publisher['’]s note|abbreviations?(?: used)?",
    r"(?:data|code|data and code) (?:availability|accessibility)(?: statement)?",
    r"availability of (?:supporting )?data(?: and materials?)?",
)
"""Patterns of whole titles, any case, with or without a number before and punctuation after."""

_SECOND_TITLE = re.compile(
    r"(?:graphical abstract|(?:research |article )?highlights|author['’]?s?['’]? summary|key ?points|teaser|lay summary"
    r"|editor['’]?s?['’]? summary|plain[- ]language summary)\W*",
    re.IGNORECASE,
)
_SIDE_TITLE = re.compile(rf"\s*(?:[\divx]+\.?\s+)?(?:{'|'.join(SIDE_SECTION_TITLES)})\W*")
_LONGEST_SIDE_TITLE = 80


def is_main_abstract(abstract: Any) -> bool:
    """False for a graphical abstract, highlights, a summary for other readers and the like."""
    title = abstract.find("title")
    return is_main_abstract_title(
        "" if title is None else "".join(title.itertext()), abstract.get("abstract-type", "")
    )


def is_main_abstract_title(title: str, abstract_type: str) -> bool:
    """The same for what the title and the attribute `abstract-type` say."""
    return not _SECOND_TITLE.fullmatch(title.strip()) and abstract_type.lower() not in SECOND_ABSTRACTS


def side_sections(body: Any) -> list[Any]:
    """Supplements, contributions, interests, funding, thanks, availability of data, abbreviations; each once."""
    found = []
    for element in body.iter("title", "sec"):
        if element.tag == "title":
            if _is_side_title(element):
                found.append(element.getparent())
        elif _is_side_type(element):
            found.append(element)
    return [section for section in dict.fromkeys(found) if section.tag == "sec"]


def is_side_section(section: Any) -> bool:
    """The same for one section or appendix."""
    title = section.find("title")
    return _is_side_type(section) or (title is not None and _is_side_title(title))


def _is_side_type(section: Any) -> bool:
    return section.get("sec-type", "").lower() in SIDE_SECTION_TYPES


def _is_side_title(title: Any) -> bool:
    text = "".join(title.itertext()) if len(title) else title.text
    return text is not None and is_side_title_text(text)


def is_side_title_text(text: str) -> bool:
    """True for the whole title of a section that says nothing about the matter itself."""
    return len(text) < _LONGEST_SIDE_TITLE and _SIDE_TITLE.fullmatch(text.lower()) is not None
