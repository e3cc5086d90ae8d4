"""A document as read → the same in the normal form of all text in a corpus."""

from dataclasses import replace

from megatron_bio.corpus.characters import clean
from megatron_bio.corpus.document import Document

ABSTRACT_LINES = "abstract_lines"


def normalise(document: Document) -> Document:
    """Title and every line of the text cleaned (see `clean`), empty lines dropped; `meta.abstract_lines` follows."""
    lines = document.text.split("\n")
    cleaned = [clean(line) for line in lines]
    meta = document.meta
    count = meta.get(ABSTRACT_LINES)
    if isinstance(count, int) and not all(cleaned[:count]):
        meta = {**meta, ABSTRACT_LINES: sum(map(bool, cleaned[:count]))}
    return replace(
        document, title=clean(document.title), text="\n".join(line for line in cleaned if line), meta=meta
    )
