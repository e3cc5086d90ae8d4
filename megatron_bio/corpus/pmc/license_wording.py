"""What one statement (a sentence or several, an address, a code such as `CC BY-NC`) says about a licence.

Read sentence by sentence in a normal form: a licence that is named for data, code or figures is not the article's, and what
limits the use counts whatever licence stands beside it. Made to err on the side of refusal: any word of commerce outside the
phrases that are known to allow it counts as non-commercial.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

UNKNOWN: Final = "unknown"
PUBLIC_DOMAIN: Final = "public-domain"
NON_COMMERCIAL: Final = "non-commercial"


class Wording(NamedTuple):
    """The licences that a statement names."""

    names: frozenset[str]
    """For the article; with `non-commercial` or `unknown` where the statement limits the use or denies a licence."""
    parts: frozenset[str]
    """For a part of it only: data, code, figures."""
    all_rights_reserved: bool


_NOTHING: Final = Wording(frozenset(), frozenset(), False)

# The normal form.
_DASHES = re.compile(r"\s*[-\u2010-\u2015\u2212\u2043\ufe58\ufe63\uff0d]\s*")
_DOTTED = re.compile(r"\b(?:[a-z]\.){2,}")
_HYPHENATED = re.compile(r"com-?mer-?ci")
_SENTENCE_END = re.compile(r"[.!?]+(?:\s+|$)")
_BETWEEN_WORDS = re.compile(r"(?:[^\w.]|_)+")

# What names a licence.
_ADDRESS = re.compile(
    r"creativecommons\.org/(?:publicdomain/(?:(?P<zero>zero)|mark)"
    r"|licen[sc]es?/(?:(?:cc-?)?(?P<terms>by(?:[-_+. ]?(?:nc|nd|sa)(?=nc|nd|sa|[^a-z]|$))*)|publicdomain"
    r"|(?P<zero_too>zero)|(?P<other>[a-z]+)))[a-z-]*(?:/(?P<version>\d\.\d))?(?P<igo>/igo)?"
)
_TERM = r"(?:(?:non ?commercial|non ?deriv\w*|no ?deriv\w*|share ?alike)\b|(?:nc|nd|sa)(?=nc|nd|sa|[^a-z]|$))"
_NAMED = re.compile(
    rf"(?:(?:\b|commons)attribution|\bcc ?by|creativecommonsby|\bby(?= ?nc\b| ?nc(?:nd|sa)\b)|\bcreative commons(?= {_TERM}))"
    rf"(?P<terms>(?: ?(?:and )?{_TERM})*)"
    r"(?=(?P<rest>.{0,40}))"
)
_MAY_NAME = re.compile(r"creative|\bcc|^attribution|\bby ?nc")
_VERSION_NEAR = re.compile(r"\b[1-4]\.[05]\b(?P<igo> igo\b)?")
_ZERO = re.compile(r"\bcc ?0\b|\bcc zero\b|\bcreative commons zero\b")
_FREE = re.compile(
    r"\b(?:in|into|to|under) the (?:worldwide )?public domain\b|\bpublic domain (?:mark|dedication|licen[sc]e|article|work)\b"
    r"|^public domain$|\bfree of all copyright\b"
    r"|\b(?:work|works|employees?) (?:of|by|for) the (?:u\.?s\.?|united states)(?: federal)? government\b"
    r"|\bu\.?s\.? government work\b|\bnot subject to (?:u\.?s\.? |united states )?copyright\b"
)
_NOT_FREE = re.compile(r"\b(?:not?|never|nor)(?: \S+){0,5} public domain\b")
_OPEN_GOVERNMENT = re.compile(r"\bopen government licen[sc]e\b|\bogl\b")

# What it is named for.
_PART = re.compile(
    r"\b(?:(?:meta)?data(?:sets?|bases?)?|codes?|software|scripts?|fig(?:ure)?s?|images?|photo(?:graph)?s?|tables?|videos?"
    r"|illustrations?|diagrams?|maps?|logos?|supplement\w*|appendi\w+|questionnaires?)\b"
    r"(?! (?:mining|article|paper|descriptor|note|report)\b)"
)
_WHOLE = re.compile(
    r"\b(?:article|work|paper|manuscript|publication|text|content|document|chapter|book|journal|report|review|study|letter"
    r"|editorial|preprint|materials?)s?\b"
)

# What denies a licence: "not distributed under a Creative Commons licence", "CC BY does not apply".
_ANY_NAME = r"(?:creative ?commons|cc ?by|cc ?0|cc zero|open government)"
_DENIED = re.compile(
    r"\b(?:not(?! (?:subject|only)\b)|n t|never|neither|nor|no longer|cannot|rather than|instead of"
    rf"|except(?! (?:where|as|when|if|for)\b))(?: \S+){{0,6}} {_ANY_NAME}|\bno (?:\S+ )?{_ANY_NAME}"
    rf"|{_ANY_NAME}\S*(?: \S+){{0,6}} not (?:apply|applicable|valid|granted|used)\b(?! to (?!this|the article))"
)

# What limits the use.
_USES = (
    r"(?:non ?profit|not for profit|personal|private|educational|education|academic|research|scholarly|study|teaching"
    r"|training|scientific|internal|classroom|individual|mining|researchers?|students?|members|subscribers)"
)
_LIMITED = re.compile(
    rf"\b{_USES}\b(?: \S+){{0,8}} (?:only|alone|exclusively|solely)\b"
    rf"|\b(?:only|solely|exclusively|purely|strictly|(?:limited|restricted|confined) to)(?: \S+){{0,8}} {_USES}\b"
    r"|\bfor (?:your |one s )?(?:own )?(?:personal|private)(?: \S+){0,3} use\b"
    r"|\b(?:not?|never|without)(?: \S+){0,4} (?:re ?)?(?:sale|sold|sell|selling)\b|\bno part of\b"
    r"|(?<!commercial )\b(?:reproduction|redistribution|distribution|copying|use|reuse)(?: \S+){0,6} (?:prohibited|forbidden)\b"
    r"|\b(?:re ?)?(?:sale|selling)(?: \S+){0,3} (?:not|prohibited|forbidden)\b|\broyalt|\brequires? a (?:fee|licen[sc]e)\b"
    r"|\b(?:mining|training)(?: \S+){0,3} (?:not|prohibited|forbidden)\b|\bnot (?:to )?be used for\b"
    # Licences of Wiley and Elsevier, by their addresses.
    r"|\btdm\b|\btext (?:and )?data mining licen[sc]e\b|\btermsandconditions (?:vor|am)\b|\buser ?licen[sc]e\b"
)
_COMMERCE = re.compile(
    r"com{1,2}er(?:c|ic|ia)|non ?com\b|\bby n c\b|kom{1,2}er[czs]|profit|\blucr|gewerb|ком{1,2}ерц|ком{1,2}ерч"
    r"|ticari|kereskedelm|商业|商業|商用|営利"
)
_COMMERCIAL = (
    r"(?<!\bnon )(?<!\bun )(?<!\bno )(?<!\bnot )\bcommercial(?:ly)?"
    r"(?: (?:re ?)?(?:uses?|purposes?|exploitation|gain|applications?|distribution|reuse))?"
)
_NON_COMMERCIAL = r"\bnon ?commercial(?:ly)?(?: (?:re ?)?(?:uses?|purposes?|reuse))?"
_BOTH = re.compile(
    rf"{_COMMERCIAL} (?:and|or|as well as) {_NON_COMMERCIAL}|{_NON_COMMERCIAL} (?:and|or|as well as) {_COMMERCIAL}"
)
_ALLOWED = re.compile(
    rf"\b(?:including|includes|even|also)(?: for| in)?(?: any)? {_COMMERCIAL}"
    rf"|\bfor any(?: lawful)? purposes? (?:and )?{_COMMERCIAL}"
    rf"|{_COMMERCIAL} (?:is|are) (?:also |explicitly |expressly )?(?:permitted|allowed)\b"
    rf"|\b(?:permit|allow)(?:s|ting|ing)?(?: (?!non)\S+){{0,14}}? (?:for )?{_COMMERCIAL}"
)
"""These and `_BOTH` count only in a sentence without one of the words that follow."""
_TAKEN_BACK = re.compile(
    r"\b(?:not?|n t|non|nor|neither|never|cannot|can t|prohibit\w*|forbid\w*|except\w*|exclu\w*|unless|until|requir\w*"
    r"|permissions?|contact|request\w*|only|but|however|restrict\w*|without|disallow\w*|den(?:y|ied|ies)|illegal\w*"
    r"|unlawful\w*|unauthori[sz]ed|reserved?|consent|prior|subject|fees?|ask\w*|other than|apart from|save|outside|minus"
    r"|instead|rather|provided by|against|barred|beyond|agreement|pa(?:y|id|yment))\b"
)
_FREELY = re.compile(
    r"\bwithout (?:(?:any|further|prior|additional|asking|for|special|written|the) ){0,4}"
    r"(?:permissions?|restrictions?|limitations?|charges?|fees?)\b|\bsubject to (?:proper |appropriate )?attribution\b"
)
_HARMLESS = re.compile(
    # What CC BY then grants expressly (BMJ, beside each of its licences).
    r"\bno commercial (?:re ?)?use is permitted unless otherwise expressly granted\b"
    # Springer, of images by others.
    r"|\bnot included (?:in|under) the (?:article s )?creative commons licen[sc]e\b"
    r"|\bcopyrighted by other commercial organi[sz]ations\b|\b(?:non ?|not for )profit organi[sz]ations?\b"
    r"|\b(?:chamber|department|ministry|secretary|school|faculty|college) of commerce\b"
)
_RESERVED = re.compile(r"\ball rights reserved\b")
_WORTH_READING = re.compile(
    r"creative|commons|cc|by.?nc|attribution|public.domain|copyright protection|to copyright|of all copyright|government|ogl|only"
    r"|alone|exclusively|solely|purely|strictly"
    r"|royalt|fee|training|used for|limited to|restricted to|confined to|reserved|private|personal|sale|sell|sold"
    rf"|no part|prohibited|forbidden|tdm|mining|conditions|licen[sc]e|{_COMMERCE.pattern}"
)
"""Most copyright statements are not: `© 2018 The Authors`. Each branch starts with a letter, for speed."""


@lru_cache(maxsize=1024)  # Publishers use the same few sentences in all their articles.
def wording(statement: str) -> Wording:
    """The licences and limits in a statement; nothing for one that names none."""
    text = _normal_form(statement)
    if not _WORTH_READING.search(text):
        return _NOTHING
    names: set[str] = set()
    parts: set[str] = set()
    is_limited = is_non_commercial = False
    for sentence in _SENTENCE_END.split(text):
        words = _HARMLESS.sub(" ", _BETWEEN_WORDS.sub(" ", sentence).strip())
        for name, before, after in (*_addresses(sentence), *_in_words(words)):
            (parts if _is_of_a_part(before, after) else names).add(name)
        is_limited |= _DENIED.search(words) is not None or _LIMITED.search(words) is not None
        is_non_commercial |= _speaks_of_commerce(words)
    for found in (names, parts):
        if "CC0" in found:
            found.discard(PUBLIC_DOMAIN)
    if is_non_commercial and not any("-NC" in name for name in names):
        names.add("CC-BY-NC" if any(name.startswith("CC-BY") for name in names) else NON_COMMERCIAL)
    if is_limited:
        names.add(UNKNOWN)
    return Wording(frozenset(names), frozenset(parts), _RESERVED.search(text) is not None)


def _normal_form(statement: str) -> str:
    """Lower case without accents, invisible characters and percent codes; single spaces, none around hyphens; `u.s.` as `us`."""
    text = unicodedata.normalize("NFKD", unquote(unquote(statement)))
    if not text.isascii():
        text = "".join(character for character in text if unicodedata.category(character) not in ("Mn", "Cf"))
    text = _DASHES.sub("-", " ".join(text.casefold().split()))
    return _HYPHENATED.sub("commerci", _DOTTED.sub(lambda match: match[0].replace(".", ""), text))


Found = tuple[str, str, str]
"""A name, and the sentence before and after it."""


def _addresses(text: str) -> Iterator[Found]:
    for match in _ADDRESS.finditer(text):
        if match["zero"] or match["zero_too"]:
            name = "CC0"
        elif match["terms"]:
            name = _creative_commons(match["terms"][2:], match["version"], match["igo"])
        else:
            name = UNKNOWN if match["other"] else PUBLIC_DOMAIN
        yield name, text[: match.start()], text[match.end() :]


def _in_words(text: str) -> Iterator[Found]:
    if _MAY_NAME.search(text):
        for match in _NAMED.finditer(text):
            version = _VERSION_NEAR.search(match["rest"])
            name = _creative_commons(match["terms"], version and version[0][:3], version and version["igo"])
            yield name, text[: match.start()], text[match.end() :]
    others = [("CC0", _ZERO), ("OGL", _OPEN_GOVERNMENT)]
    if not _NOT_FREE.search(text):
        others.append((PUBLIC_DOMAIN, _FREE))
    for name, pattern in others:
        for match in pattern.finditer(text):
            yield name, text[: match.start()], text[match.end() :]


def _is_of_a_part(before: str, after: str) -> bool:
    """Told by a part before the name, else by what comes first: `applies to the data in this article` is of the data."""
    if _PART.search(before):
        return True
    part, whole = _PART.search(after), _WHOLE.search(after)
    return part is not None and not _WHOLE.search(before) and (whole is None or part.start() < whole.start())


def _speaks_of_commerce(words: str) -> bool:
    """Whether something is said of commercial use but that it is allowed."""
    if not _COMMERCE.search(words):
        return False
    rest = _FREELY.sub(" ", _BOTH.sub(" ", words))
    return _TAKEN_BACK.search(rest) is not None or _COMMERCE.search(_ALLOWED.sub(" ", rest)) is not None


def _creative_commons(terms: str, version: str | None, igo: str | None) -> str:
    """`terms` hold the abbreviations (`-nc-nd`) or the words (`noncommercial no derivatives`)."""
    parts = ["CC-BY"]
    if re.search(r"nc|non ?commercial", terms):
        parts.append("NC")
    if re.search(r"nd|no ?deriv|non ?deriv", terms):
        parts.append("ND")
    elif re.search(r"sa|share ?alike", terms):
        parts.append("SA")
    if version:
        parts.append(version)
        if igo:
            parts.append("IGO")
    return "-".join(parts)
