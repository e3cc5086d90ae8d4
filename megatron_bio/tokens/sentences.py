"""Rule-based sentence splitting for biomedical English; needs no model and no download.

A candidate is a sentence mark, optional closing brackets and quotes, white space, and something that can start a
sentence (a capital, a digit, a Greek letter, or one of the lower-case starts of biology: mRNA, p53, c-Jun).
One regular expression finds the candidates; the word before the mark then decides. Where a rule must guess it
prefers to leave two sentences together: a long sentence costs nothing, half a species name costs a sample.

A line feed always ends a sentence, for documents hold one paragraph per line.
"""

import re

from megatron_bio.tokens.abbreviations import (
    BEFORE_A_NUMBER,
    LAST_BEFORE_A_CAPITAL,
    LETTER_HEADS,
    NEVER_LAST,
    SELDOM_LAST,
    STARTERS,
)

_LOWER_CASE_START = (
    r"[a-z]{1,3}[A-Z]"  # mRNA, pH, siRNA, miR-21
    r"|[a-z]{1,3}\d"  # p53, hsp70
    r"|[a-z]-[A-Z]"  # c-Jun, n-Butanol
    r"|c-(?:fos|myc|jun|kit|met|src|abl)\b"
    r"|(?:alpha|beta|gamma|delta|kappa|omega)[ \d-]"
    r"|[a-z]{3}-\d"  # mog-1, let-7
    r"|wt-[A-Z]"
    r"|v[ao]n (?:de[nr]? )?[A-Z]"
)
_CANDIDATE = re.compile(
    r"[.!?…](?<![.!?…].)[.!?…]*"  # one class first, for the search is fast only then
    r"(?P<close>[)\]}\"'”’»]*(?:\[\d[\d, –-]{0,30}\]|[⁰¹²³⁴-⁹]{1,6})?)"
    r"\s+(?!\(ABSTRACT TRUNCATED)"  # stands at the end of older abstracts and is no sentence
    r"(?=(?:\([-+±−/]{1,3}\)-?|[(\[{\"'“‘«])*"
    r"(?:[^\W_a-zß-öø-ÿ]|" + _LOWER_CASE_START + r"|(?<=[(\[])[a-z]{1,3}[)\]]))"
)
_ENUMERATOR = re.compile(r"[(\[]?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4}|[IVX]{1,4})[)\]]?")
_DOTTED = re.compile(r".{0,3}?(?:[^\W\d_]{1,3}\.-?)+[^\W\d_]{1,4}")
_BROKEN_DECIMAL = re.compile(r"(?:^[(\[]\d+|(?<!\d)0|[=<>≤≥±]\d{0,2})$")  # `P < 0. 05`, `(17. 5`, `P <. 05`
_NEXT_WORD = re.compile(r"[\s)(\[\]{}\"'“”‘’«»]*(\w*)([^\w\s]?)")
_OPENERS = "([{\"'“‘«"


def split_sentences(text: str) -> list[str]:
    """Split text into sentences without surrounding white space; joined with it, they give the text back."""
    return [sentence for paragraph in text.split("\n") for sentence in _split_paragraph(paragraph)]


def _split_paragraph(text: str) -> list[str]:
    sentences = []
    start = 0
    text = text.strip()
    for match in _CANDIDATE.finditer(text):
        if _ends_sentence(text, start, match):
            sentences.append(text[start : match.end("close")])
            start = match.end()
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Decide whether the mark of `match` ends the sentence that begins at `start`."""
    mark = match.start()
    if text[mark] != "." or match.start("close") > mark + 1:
        return True
    word_start = text.rfind(" ", start, mark) + 1 or start
    word = text[word_start:mark].lstrip(_OPENERS)
    follower = text[match.end()]
    if not word:  # a cross-reference was removed before the mark: `shown in Table . Weight was`
        return _next_is_word(text, match.end())
    if word_start == start and _ENUMERATOR.fullmatch(text, word_start, mark):
        return False
    if word.isupper() and word.isalpha():
        # MS, CF, ED and CO are no abbreviations with a full stop, whatever ms, cf, ed and co are.
        return len(word) > 1 or _after_letter(text, start, word_start, match)
    lower = word.lower()
    if lower in NEVER_LAST or (follower.isdigit() and _BROKEN_DECIMAL.search(text[word_start:mark])):
        return False
    if lower in BEFORE_A_NUMBER and (follower.isdigit() or _is_roman(text, match.end())):
        return False
    if lower in LAST_BEFORE_A_CAPITAL:
        return follower.isupper()
    if lower in SELDOM_LAST or ("." in word and _DOTTED.fullmatch(word)):
        return _next_is_starter(text, match.end())
    return True


def _after_letter(text: str, start: int, word_start: int, match: re.Match[str]) -> bool:
    """Decide after one capital: `E. coli` and `J. Smith` go on, `vitamin C. Rats` and `group A. The` end."""
    head = text[max(start, word_start - 30) : word_start].rstrip().rpartition(" ")[2].lower().lstrip(_OPENERS)
    if head in LETTER_HEADS and text[match.end() + 1 : match.end() + 2] != ".":
        return True
    return _next_is_starter(text, match.end())


def _next_is_starter(text: str, position: int) -> bool:
    """Say whether the next word is one that commonly starts a sentence and is not itself abbreviated."""
    match = _NEXT_WORD.match(text, position)
    if match is None or match[2] == ".":
        return False
    return match[1] in STARTERS or (match[2] == ":" and match[1].capitalize() in STARTERS)  # `RESULTS: `


def _next_is_word(text: str, position: int) -> bool:
    """Say whether the next word is a capitalised word, no formula and no initial."""
    match = _NEXT_WORD.match(text, position)
    return match is not None and match[1].isalpha() and match[1].istitle() and match[2] != "."


def _is_roman(text: str, position: int) -> bool:
    """Say whether the next word is a Roman numeral, as in `Vol. III`."""
    match = _NEXT_WORD.match(text, position)
    return match is not None and bool(match[1]) and set(match[1]) <= set("IVX")
