"""Notices that stand where a text should: told by how they begin, so that a text that mentions one stays.

The wordings are those of PubMed's abstracts and PMC's front matter. Each pattern must match a text from its beginning, and a
text longer than `MOST_WORDS` is never a notice, however it begins. What can also begin an abstract ("Correction of anaemia …",
"Retraction of the tongue …") needs the notice's colon or brackets. A longer text, as PMC has them, is a notice when both its title
("Corrigendum: …") and its opening say so: PubMed also has whole abstracts, printed again, under such a title.
"""

import re

MOST_WORDS = 120
SHORT_WORDS = 40
MOST_TITLED_WORDS = 600
OPENING_CHARACTERS = 400

_ARTICLE = (
    r"(?:article|paper|publication|manuscript|letter|editorial|comment(?:ary)?|review|study|chapter|abstract)"
)
_THIS = rf"(?:this|the|the above|the present|the following) (?:[\w-]+ ){{0,2}}?{_ARTICLE}"
_FATE = r"(?:retracted|withdrawn|corrected|republished|superseded|temporarily removed)"
_NOTICE = r"(?:correction|retraction|addendum|republication|update|expression of concern|publisher'?s? (?:correction|note))"

_NOTICES = re.compile(
    r"\W*(?:"
    r"th(?:is|e) (?:\w+ )?(?:corrects|retracts|replaces|updates) the (?:[\w-]+ ){0,4}?(?:article|paper|table|figure|doi|pmid)"
    r"|th(?:is|e) (?:\w+ )?corrects the \w+ \d+ of"
    r"|(?:erratum|errata|corrigend(?:um|a))(?:\W|$)"
    rf"|(?<=\[){_NOTICE} (?:of|in|to|for)\b"
    rf"|(?:author )?{_NOTICE}(?: (?:in|to|for|of|on))?:"
    rf"|{_THIS} (?:has been|have been|was|is|is being|is hereby) (?:\w+ )?{_FATE}"
    rf"|the (?:editors?|authors?|publishers?) .{{0,60}}?\b(?:retract|withdraw)(?:s|n|ed|ing)? (?:this|the|their) "
    rf"(?:[\w-]+ ){{0,2}}?{_ARTICLE}"
    r"|an? (?:amendment|(?:author |publisher )?correction|erratum|retraction|addendum) (?:to|of|for) this (?:paper|article)"
    r"|in (?:the|this) (?:original |published )?(?:version of (?:this|the) )?article\b.{0,120}?"
    r"\b(?:an error|errors|a mistake|mistakes|incorrect(?:ly)?|misspelled|omitted|erroneous(?:ly)?)\b"
    r")",
    re.IGNORECASE,
)
_SHORT_NOTICES = re.compile(
    r"\W*(?:"
    r"(?:no|not) (?:abstract|summary|full text)(?:\W*$| (?:is |was )?(?:available|provided|supplied|included)\b)"
    r"|(?:abstract|summary) (?:is )?(?:not |un)(?:available|provided|supplied)\b"
    r"|(?:the )?(?:full )?(?:abstract|text|article|paper) (?:is )?(?:available|published|appears) (?:only )?"
    r"(?:online|in|at|from|on)\b"
    r"|(?:please )?see (?:also )?(?:the )?(?:full[ -]?text|original|related|accompanying)? ?"
    r"(?:article|text|pdf|editorial|commentary)\b"
    r"|(?:copyright|ⓒ|©|\(c\))\s"
    r"|all rights reserved\b|this is an open[ -]access article\b"
    r"|published by (?:elsevier|oxford university press|john wiley|wiley|springer|taylor)\b"
    r"|(?:the )?publisher regrets\b"
    r"|(?:comment|commentary|reply|response|letter)s? (?:on|to):"
    r"|doi: ?10\.\S+\W*$"
    r"|(?:conflicts?|declarations?) of interests?\W+(?:none|nil|no |the authors?)"
    r"|the authors? (?:have )?declared?s? (?:that )?(?:they have |there (?:are|is) )?no\b"
    r"|(?:none declared|unlabelled|unassigned|n/a|null|none|not applicable)\W*$"
    r")",
    re.IGNORECASE,
)


_NOTICE_TITLES = re.compile(
    r"\W*(?:(?:author |publisher )?correction|corrigend(?:um|a)|errat(?:um|a)|retraction(?: note)?|expression of concern|addendum)"
    r"(?: (?:to|for|of|in))?\s?:",
    re.IGNORECASE,
)
_NOTICE_WORDS = re.compile(
    r"\b(?:errors?|mistakes?|incorrect(?:ly)?|erroneous(?:ly)?|correct(?:ed|ion|ions)|omitted|misspelled|retract(?:ed|ion)?)\b",
    re.IGNORECASE,
)


def is_boilerplate(title: str, text: str, words: int) -> bool:
    """Whether a normalised text of so many words is a notice and no text."""
    if words > MOST_TITLED_WORDS:
        return False
    if _NOTICE_TITLES.match(title) and _NOTICE_WORDS.search(text[:OPENING_CHARACTERS]):
        return True
    if words > MOST_WORDS:
        return False
    return bool(_NOTICES.match(text) or (words <= SHORT_WORDS and _SHORT_NOTICES.match(text)))
