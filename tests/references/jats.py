"""A slow, plain reader of JATS: the whole tree, one recursion, nothing of the package. It says what the text should be.

It knows no citation numbers glued to words and no formulas beyond their letters: what it gives is compared by words.
"""

import re
import unicodedata
from typing import Any

from lxml import etree

NEVER = re.compile(
    "fig|fig-group|table-wrap|table-wrap-group|media|supplementary-material|disp-formula|disp-formula-group"
    "|chem-struct-wrap|chem-struct|ref-list|glossary|fn-group|ack|notes|sec-meta|object-id|permissions|alt-text"
    "|long-desc|table|array|code|preformat|graphic|inline-graphic|tex-math|kwd-group|private-char|contrib-group"
    "|index-term|floats-group"
)
OWN_LINE = re.compile(
    "p|title|list|list-item|disp-quote|boxed-text|def-list|def-item|statement|verse-group|verse-line|speech|fn|attrib"
    "|subtitle"
)
SIDE_TYPES = (
    "supplementary-material|supplementary material|coi-statement|conflict|funding-information|author-contributions?"
    "|data-availability|additional-information|display-objects"
)
SIDE_TITLES = (
    r"(electronic )?(supplementary|supplemental|supporting|additional) (materials?|data|information|files?)"
    r"|((statement|declaration|disclosure)s? of )?(potential )?(conflicts?|competing|declarations?) (of )?(competing )?"
    r"(financial )?interests?( statements?| disclosures?)?"
    r"|authors?['’]?s? contributions?|acknowledge?ments?|funding( information| sources?| statement)?"
    r"|pre-?publication history|publisher['’]s note|abbreviations?( used)?"
    r"|(data|code|data and code) (availability|accessibility)( statement)?"
    r"|availability of (supporting )?data( and materials?)?"
)
MARKS = {"bibr", "ref", "fn", "table-fn", "aff", "corresp", "author-notes"}


def read(content: bytes) -> tuple[str, str]:
    """Abstract and body of the one article in a file, each a text with one line for a paragraph."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    article = etree.fromstring(content, parser)
    abstracts = [a for a in article.findall("front/article-meta/abstract") if _is_abstract(a)]
    if not abstracts:
        summaries = article.findall("front/article-meta/abstract[@abstract-type='summary']")
        abstracts = summaries[:1]
    abstract = _lines(abstracts[0], inside_abstract=True) if abstracts else ""
    body = article.find("body")
    parts = [] if body is None else [_lines(body)]
    parts += [
        "" if _is_side(app) or body is None else _lines(app) for app in article.findall("back/app-group/app")
    ]
    return abstract, "\n".join(part for part in parts if part)


def _is_abstract(abstract: Any) -> bool:
    kind = abstract.get("abstract-type")
    title = " ".join("".join(abstract.xpath("title//text()")).split()).lower()
    return kind is None and title not in ("author summary", "graphical abstract", "highlights")


def _lines(holder: Any, inside_abstract: bool = False) -> str:
    text = _render(holder, inside_abstract)
    lines = [" ".join(unicodedata.normalize("NFC", line).split()) for line in text.split("\f")]
    if inside_abstract:
        lines = [line for line in lines if not line.startswith("DOI: http")]
    return "\n".join(line for line in lines if line)


def _render(element: Any, inside_abstract: bool) -> str:
    text = element.text or ""
    for child in element:
        text += _child(element, child, inside_abstract) + (child.tail or "")
    return text


def _child(parent: Any, child: Any, inside_abstract: bool) -> str:
    if not isinstance(child.tag, str):
        return child.text or ""
    name = etree.QName(child).localname
    if NEVER.fullmatch(name) or (name == "sec" and _is_side(child)):
        return " "
    if name == "break":
        return " "
    if name == "label":
        label = "".join(child.itertext())
        return f"{label} " if re.search(r"\w", label) else ""
    if name == "sup" and _is_mark(child):
        return ""
    if name == "xref" and child.find("sup") is not None and child.get("ref-type") in MARKS:
        return ""
    if name == "term":
        return _render(child, inside_abstract) + ": "
    if name == "title" and inside_abstract:
        return "" if parent.tag == "abstract" else _render(child, inside_abstract).rstrip(" .:") + ": "
    if name == "title" and parent.tag in ("sec", "app") and not _says_more(parent):
        return ""
    inner = _render(child, inside_abstract)
    if not OWN_LINE.fullmatch(name):
        return inner
    return f"{inner}\f" if name == "title" and parent.find("label") is not None else f"\f{inner}\f"


def _says_more(section: Any) -> bool:
    return any(
        not NEVER.fullmatch(child.tag) and child.tag not in ("title", "label") and not _is_side(child)
        for child in section
    )


def _is_mark(superscript: Any) -> bool:
    if superscript.getparent().tag == "xref" and superscript.getparent().get("ref-type") in MARKS:
        return True
    marks = superscript.findall("xref")
    outside = (superscript.text or "") + "".join(child.tail or "" for child in superscript)
    return (
        bool(marks)
        and all(mark.get("ref-type") in MARKS for mark in marks)
        and re.search(r"[^\W\d]", outside) is None
    )


def _is_side(section: Any) -> bool:
    if re.fullmatch(SIDE_TYPES, (section.get("sec-type") or "").lower()):
        return True
    title = " ".join("".join(section.xpath("title//text()")).split()).lower()
    return re.fullmatch(rf"([\divx]+\.?\s+)?({SIDE_TITLES})\W*", title) is not None
