"""Train, validation or test: by a hash of what a document is, so that adding files moves no document."""

import hashlib
from collections.abc import Sequence

from megatron_bio.corpus.document import Document
from megatron_bio.corpus.identifiers import pmcid_of, pmid_of

SPLIT_NAMES = ("train", "validation", "test")


def split_of(document: Document, fractions: Sequence[float]) -> int:
    """The number of the part in `SPLIT_NAMES`.

    The hash is of the PMCID where there is one, so that an abstract and its article are on the same side: most articles of
    PMC state no PMID, but PubMed states the PMCID of each abstract whose article is there. Else it is of the PMID, else of
    the id. An abstract that states only its PMID can thus be on another side than an article with a PMCID.
    """
    return part_of_name(_name(document), fractions, b"corpus-split")


def part_of_name(name: str, fractions: Sequence[float], purpose: bytes) -> int:
    """The number of the part, drawn with these probabilities from a hash of `name`; another purpose draws anew."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=purpose).digest()
    draw = int.from_bytes(digest, "big") / 2**64
    total = 0.0
    for part, fraction in enumerate(fractions):
        total += fraction
        if fraction > 0 and draw < total:
            return part
    # Rounding may leave the sum just below 1.
    return max(part for part, fraction in enumerate(fractions) if fraction > 0)


def _name(document: Document) -> str:
    if pmcid := pmcid_of(document):
        return f"pmc:{pmcid}"
    pmid = pmid_of(document)
    return f"pubmed:{pmid}" if pmid else document.id
