"""PMID and PMCID of a document, in whichever form its source wrote them; everything that compares documents asks here."""

import re
from typing import Final

from megatron_bio.corpus.document import Document

MOST_NUMBER: Final = 999_999_999

_PMID = re.compile(
    r"(?:(?:pmid|pubmed)\s*:?\s*|https?://\S*pubmed\S*?/)?0*([1-9][0-9]{0,8})(?:\.0+)?/?", re.IGNORECASE
)
_OWN_PMID = re.compile(r"pubmed:([1-9][0-9]{0,8})")
_PMCID = re.compile(r"(?:pmcid\s*:?\s*)?(?:pmc)?0*([1-9][0-9]{0,8})(?:\.[0-9]+)?", re.IGNORECASE)
_OWN_PMCID = re.compile(r"pmc:(PMC[1-9][0-9]{0,8})")


def as_pmid(value: object) -> int | None:
    """`4`, `4.0`, `"4"`, `"4.0"` (as tables with gaps have them), `"PMID: 4"`, `"pubmed:4"`, an address of PubMed; else None."""
    return _as_number(value, _PMID)


def pmid_of(document: Document) -> int | None:
    """From `meta.pmid` in any form, else from the id `pubmed:N`."""
    pmid = as_pmid(document.meta.get("pmid"))
    if pmid is None and (match := _OWN_PMID.fullmatch(document.id)):
        return int(match[1])
    return pmid


def pmcid_of(document: Document) -> str | None:
    """`PMC123`, without a version, from `meta.pmcid` with or without the letters, else from the id `pmc:PMC123`."""
    number = _as_number(document.meta.get("pmcid"), _PMCID)
    if number is not None:
        return f"PMC{number}"
    match = _OWN_PMCID.fullmatch(document.id)
    return match[1] if match else None


def _as_number(value: object, written: re.Pattern[str]) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value) if 0 < value <= MOST_NUMBER and value == int(value) else None
    match = written.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(match[1]) if match else None
