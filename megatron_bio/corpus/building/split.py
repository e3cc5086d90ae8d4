"""Train, validation or test: by a hash of what a document is, so that adding files moves no document."""

import hashlib
from collections.abc import Sequence

from megatron_bio.corpus.document import Document

SPLIT_NAMES = ("train", "validation", "test")


def split_of(document: Document, fractions: Sequence[float]) -> int:
    """The number of the part in `SPLIT_NAMES`.

    The hash is of the PMID where there is one, so that an abstract and its article are on the same side, else of the id.
    """
    pmid = document.meta.get("pmid")
    name = f"pubmed:{pmid}" if isinstance(pmid, int) else document.id
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"corpus-split").digest()
    draw = int.from_bytes(digest, "big") / 2**64
    total = 0.0
    for part, fraction in enumerate(fractions):
        total += fraction
        if fraction > 0 and draw < total:
            return part
    # Rounding may leave the sum just below 1.
    return max(part for part, fraction in enumerate(fractions) if fraction > 0)
